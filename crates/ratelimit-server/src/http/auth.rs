//! `/v1/auth`: nginx's `auth_request` asks it before it passes a request on.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::check::valid_key;
use super::fields;
use super::problem::Problem;
use crate::app::App;
use crate::policies::key_by::{Caller, Peer};
use crate::policies::Matched;

/// nginx passes the target and the method of the original request in these fields.
const URI: &str = "x-original-uri";
const METHOD: &str = "x-original-method";

/// A policy by its name, and a key for it, instead of those that the original request would have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    policy: Option<String>,
    key: Option<String>,
}

/// 204 or, denied, 403: nginx accepts no other denial. Both have the fields of `GET /`.
pub(super) async fn auth(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<Chosen>, QueryRejection>,
    parts: Parts,
) -> Response<Body> {
    let Ok(Query(chosen)) = query else {
        return bad_request("the query may have policy and key");
    };
    let matched = match matched(&app, chosen, &parts, &peer) {
        Ok(matched) => matched,
        Err(message) => return bad_request(message),
    };
    match app.decide(matched).await {
        Ok(rulings) => {
            let is_allowed = rulings.is_allowed();
            let status = if is_allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
            empty(status, fields::joined(&rulings))
        }
        Err(error) => Problem::from(error).response(),
    }
}

fn matched(app: &App, chosen: Chosen, parts: &Parts, peer: &Peer) -> Result<Matched, String> {
    let caller = Caller::of_request(parts, peer, &app.settings.trusted_proxies);
    let method = text(&parts.headers, METHOD).unwrap_or("GET".into());
    let policies = app.policies.current();
    let Some(name) = &chosen.policy else {
        if chosen.key.is_some() {
            return Err("key needs a policy".to_owned());
        }
        let uri = text(&parts.headers, URI).ok_or("X-Original-URI or a policy is needed")?;
        let path = uri.split(['?', '#']).next().unwrap_or(&uri);
        return Ok(policies.applied(&caller.asking_for(&method, path)));
    };
    let key = chosen.key.map(valid_key).transpose().map_err(|wrong| wrong.message)?;
    let value = key.map(|key| format!("key:{key}"));
    let caller = caller.asking_for(&method, "/");
    let matched = policies.chosen(name, value.as_deref(), &caller);
    matched.ok_or_else(|| "there is no policy of that name".to_owned())
}

/// Bytes that are not UTF-8 are replaced: they match no route and no method, and the request still
/// gets an answer.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()))
}

fn bad_request(message: impl Into<String>) -> Response<Body> {
    Problem::new(StatusCode::BAD_REQUEST, message).response()
}

fn empty(status: StatusCode, fields: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
