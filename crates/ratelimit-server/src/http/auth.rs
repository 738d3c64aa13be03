//! `/v1/auth`: asked by nginx's `auth_request` before it lets a request pass.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;

use crate::app::App;
use crate::guard::{self, Verdict};
use crate::http::problem::Problem;
use crate::policies::key_by::{From, Peer};
use crate::policies::{self, Applied};

/// Of the request that nginx holds, which it hands on in fields.
const URI: &str = "x-original-uri";
const METHOD: &str = "x-original-method";
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const MOST_KEY_BYTES: usize = 1024;

/// Instead of the original request's route and headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chosen {
    policy: Option<String>,
    key: Option<String>,
}

/// 204, or 403: nginx knows no other denial. Both with the fields of the middleware.
pub(crate) async fn auth(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<Chosen>, axum::extract::rejection::QueryRejection>,
    parts: Parts,
) -> Response<Body> {
    let Ok(Query(chosen)) = query else {
        return bad("the query may have policy and key");
    };
    let applied = match applied(&app, &chosen, &parts, &peer) {
        Ok(applied) => applied,
        Err(rule) => return bad(rule),
    };
    match guard::decide(&app, &applied).await {
        Verdict::Allowed(fields) => empty(StatusCode::NO_CONTENT, fields),
        Verdict::Denied(fields) => empty(StatusCode::FORBIDDEN, fields),
        Verdict::Failed(error) => Problem::from(error).response(),
    }
}

fn applied(
    app: &App,
    chosen: &Chosen,
    parts: &Parts,
    peer: &Peer,
) -> Result<Vec<Applied>, &'static str> {
    let from = From { parts, peer, addresses: &app.settings.addresses };
    let policies = app.policies.current();
    let Some(name) = &chosen.policy else {
        if chosen.key.is_some() {
            return Err("key needs a policy");
        }
        let method = text(&parts.headers, METHOD).unwrap_or("GET".into());
        let uri = text(&parts.headers, URI).ok_or("X-Original-URI or a policy is needed")?;
        let path = uri.split(['?', '#']).next().unwrap_or(&uri);
        return Ok(policies.applied(&method, path, &from));
    };
    let rule = policies.named(name).ok_or("there is no policy of that name")?;
    let key = match &chosen.key {
        Some(key) if key.is_empty() || key.len() > MOST_KEY_BYTES => {
            return Err("key must be a text of 1 to 1024 bytes");
        }
        Some(key) => format!("key:{key}"),
        None => rule.find(&from).unwrap_or_else(|| from.address_key()),
    };
    Ok(vec![Applied { rule: Arc::clone(rule), key: policies::key(rule, &key) }])
}

/// Bytes that are no UTF-8 equal no route and no method, and are no reason to refuse an answer.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()))
}

fn bad(rule: &'static str) -> Response<Body> {
    Problem::new(StatusCode::BAD_REQUEST, rule).response()
}

fn empty(status: StatusCode, fields: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    for name in [RATELIMIT_POLICY, RATELIMIT] {
        join(response.headers_mut(), &name);
    }
    response
}

/// Lines of one field as one line, of which older versions of nginx hand on the first alone.
fn join(headers: &mut HeaderMap, name: &HeaderName) {
    let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        let line = HeaderValue::from_bytes(&lines.join(&b", "[..]));
        headers.insert(name, line.expect("values between commas are a value"));
    }
}
