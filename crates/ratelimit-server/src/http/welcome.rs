//! `GET /`: the rate-limited API itself.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::fields;
use super::problem::Problem;
use crate::app::{App, Rulings};
use crate::policies::key_by::{Caller, Peer};
use crate::policies::Refusal;

const WELCOME: &str = "Welcome to the Rate Limited API!";
pub(super) const DENIED: &str = r#"{"message":"Too many requests. Please try again later."}"#;
const FAILED: &str =
    r#"{"message":"The rate limit cannot be checked now. Please try again later."}"#;

pub(super) async fn welcome(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    parts: Parts,
) -> Response<Body> {
    answer(&app, &parts, &peer).await
}

/// The hottest path: `serve` calls it without the router, and all its texts are static.
pub(super) async fn answer(app: &App, parts: &Parts, peer: &Peer) -> Response<Body> {
    let caller = Caller::of_request(parts, peer, &app.settings.trusted_proxies);
    let matched = app.policies.current().applied(&caller);
    match app.decide(matched).await {
        Ok(rulings) if rulings.is_allowed() => {
            respond(StatusCode::OK, "text/plain; charset=utf-8", WELCOME, fields::of(&rulings))
        }
        Ok(Rulings { refusal: Some(Refusal::TwoLines(header)), .. }) => {
            Problem::two_lines(&header).response()
        }
        Ok(rulings) => {
            let fields = fields::of(&rulings);
            respond(StatusCode::TOO_MANY_REQUESTS, "application/json", DENIED, fields)
        }
        Err(_) => {
            let retry = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("1"))]);
            respond(StatusCode::SERVICE_UNAVAILABLE, "application/json", FAILED, retry)
        }
    }
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: &'static str,
    mut headers: HeaderMap,
) -> Response<Body> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // The answer is for one client at one moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
