//! `GET /`: the rate-limited API itself.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::app::App;
use crate::guard::{self, Verdict};
use crate::policies::key_by::{From, Peer};

const WELCOME: &str = "Welcome to the Rate Limited API!";
const DENIED: &str = r#"{"message":"Too many requests. Please try again later."}"#;
const FAILED: &str =
    r#"{"message":"The rate limit cannot be checked now. Please try again later."}"#;

/// Of all that is asked, the most often: it takes the shortest way.
pub(crate) async fn welcome(app: &App, parts: &Parts, peer: &Peer) -> Response<Body> {
    let from = From { parts, peer, addresses: &app.settings.addresses };
    let applied = app.policies.current().applied(parts.method.as_str(), parts.uri.path(), &from);
    match guard::decide(app, &applied).await {
        Verdict::Allowed(fields) => {
            respond(StatusCode::OK, "text/plain; charset=utf-8", WELCOME, fields)
        }
        Verdict::Denied(fields) => {
            respond(StatusCode::TOO_MANY_REQUESTS, "application/json", DENIED, fields)
        }
        Verdict::Failed(_) => {
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
    // An answer to one client at one moment is nobody else's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
