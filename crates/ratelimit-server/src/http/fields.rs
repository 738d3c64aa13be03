//! The header fields that describe a decision: `RateLimit-Policy`, `RateLimit`, `Retry-After`.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ratelimit_client::http::fields::{self, RATELIMIT, RATELIMIT_POLICY};
use ratelimit_client::Retry;

use crate::app::{Ruling, Rulings};

/// Room for the fields of an answer, those of its content included.
const CAPACITY: usize = 8;

/// A line of each field for each policy that was asked.
pub(super) fn of(rulings: &Rulings) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(CAPACITY);
    for Ruling { rule, answer } in &rulings.rulings {
        fields::add(&mut headers, &rule.name, &rule.policy, answer);
    }
    // The wait of one policy does not help if another never allows the request.
    if rulings.rulings.iter().any(|ruling| ruling.answer.retry() == Retry::Never) {
        headers.remove(RETRY_AFTER);
    }
    headers
}

/// One line of each field: older versions of nginx pass on only the first line of a field.
pub(super) fn joined(rulings: &Rulings) -> HeaderMap {
    let mut headers = of(rulings);
    for name in [RATELIMIT_POLICY, RATELIMIT] {
        join(&mut headers, name);
    }
    headers
}

fn join(headers: &mut HeaderMap, name: HeaderName) {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        let line = HeaderValue::from_bytes(&lines.join(&b", "[..]));
        headers.insert(name, line.expect("valid values joined by commas are a valid value"));
    }
}
