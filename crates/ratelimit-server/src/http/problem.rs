//! Errors, as problem details (RFC 9457).

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use ratelimit_client::Error;
use serde::Serialize;

use crate::policies::words::Wrong;

/// A status and its reason.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("");
        Self { title, status: status.as_u16(), detail: detail.into(), field: None }
    }

    /// Of a request that has two lines of the header that holds its key.
    pub(super) fn two_lines(header: &HeaderName) -> Self {
        let detail = format!("the request must have one line of {header}");
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The same reason under another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { field: self.field, ..Self::new(status, self.detail) }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("`new` took a status")
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let text = serde_json::to_string(self).expect("numbers and texts are JSON");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status();
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

impl From<Wrong> for Problem {
    fn from(Wrong { field, message }: Wrong) -> Self {
        let field = Some(field).filter(|field| !field.is_empty());
        Self { field, ..Self::new(StatusCode::BAD_REQUEST, message) }
    }
}

/// An error about a key or an argument reaches the caller. Every other text stays in the log.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, detail) = match &error {
            Error::Cost => (StatusCode::BAD_REQUEST, error.to_string()),
            Error::Refused(text) if text.starts_with("WRONGTYPE ") => {
                (StatusCode::CONFLICT, "key holds another type of value".to_owned())
            }
            Error::Refused(text) => {
                (StatusCode::CONFLICT, text.strip_prefix("ERR ").unwrap_or(text).to_owned())
            }
            _ => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        Self::new(status, detail)
    }
}
