//! `GET /healthz` and `/readyz`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::backend::health::meanwhile;
use crate::settings::OnRedisFailure;

/// The process is alive.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// 200 if the instance can decide as configured: the backend answers, or it has answered before and
/// `ON_REDIS_FAILURE` decides now. Else, or when the instance is ending, 503.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    let why_not = app.health.why_not();
    let goes_on = app.settings.on_failure != OnRedisFailure::Closed;
    let can_decide = why_not.is_none() || (goes_on && app.health.has_been_up());
    let is_ready = can_decide && !*app.stopping.borrow();
    let mut state = json!({ "ready": is_ready, "backend": app.settings.target.name() });
    if let Some(why) = why_not {
        state["why"] = json!(why);
        state["meanwhile"] = json!(meanwhile(app.settings.on_failure));
    }
    let mut response = Response::new(Body::from(state.to_string()));
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
