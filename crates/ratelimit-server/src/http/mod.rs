//! The service's HTTP side: connections, endpoints, bodies and errors.

mod auth;
mod body;
mod check;
pub(crate) mod healthcheck;
mod openapi;
mod probes;
pub(crate) mod problem;
pub(crate) mod serve;
mod welcome;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::Router;

use crate::app::App;
use problem::Problem;

pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/", any(welcome_is_got))
        .route("/v1/check", post(check::check))
        .route("/v1/peek", post(check::peek))
        .route("/v1/check/batch", post(check::batch))
        .route("/v1/auth", any(auth::auth))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/openapi.json", get(openapi::document))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .with_state(Arc::clone(app))
        .merge(app.page.clone().router())
}

async fn metrics_text(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], app.metrics.text())
}

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// GET and HEAD of it do not come here.
async fn welcome_is_got() -> Response<Body> {
    let mut response = wrong_method().await;
    response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a value"));
    response
}

async fn wrong_method() -> Response<Body> {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods, see Allow")
        .response()
}

async fn no_such_path() -> Response<Body> {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here; see /openapi.json").response()
}
