//! `/v1/auth` and the paths below it: a proxy asks here before it passes a visitor's request on.
//!
//! The operator chooses the form by the URL in the proxy's configuration. The headers of a request
//! never choose it, because a visitor can send the headers of every proxy.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::any;
use axum::Router;
use serde::Deserialize;

use super::check::valid_key;
use super::fields;
use super::problem::Problem;
use super::welcome::DENIED;
use crate::app::{App, Rulings};
use crate::policies::key_by::{Caller, Peer};
use crate::policies::{Matched, Refusal};

/// How a proxy describes the visitor's request, and which answers it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `auth_request` of nginx, which allows by any 2xx and denies by 401 or 403 only.
    Nginx,
    /// `auth-url` of ingress-nginx: the same answers, but the whole URL in one header.
    Ingress,
    /// `forwardAuth` of Traefik, `forward_auth` of Caddy: the visitor gets the answer that denies.
    Forwarded,
    /// `ext_authz` of Envoy, which sends the visitor's method and puts a prefix before the path.
    Envoy,
}

/// What Envoy puts before the visitor's path (its `path_prefix`).
const ENVOY: &str = "/v1/auth/envoy";

/// `{*path}` does not match the path `/`, which is the last one.
const PATHS: [(&str, Form); 5] = [
    ("/v1/auth", Form::Nginx),
    ("/v1/auth/ingress", Form::Ingress),
    ("/v1/auth/forwarded", Form::Forwarded),
    ("/v1/auth/envoy/{*path}", Form::Envoy),
    ("/v1/auth/envoy/", Form::Envoy),
];

pub(super) fn routes() -> Router<Arc<App>> {
    PATHS.into_iter().fold(Router::new(), |router, (path, form)| {
        let answer =
            async move |State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, parts| {
                form.answer(&app, &parts, &peer).await
            };
        router.route(path, any(answer))
    })
}

/// A policy by its name, and a key for it, instead of those that the visitor's request would have.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    policy: Option<String>,
    key: Option<String>,
}

impl Form {
    async fn answer(self, app: &App, parts: &Parts, peer: &Peer) -> Response<Body> {
        let matched = match self.matched(app, parts, peer) {
            Ok(matched) => matched,
            Err(message) => return self.problem(Problem::new(StatusCode::BAD_REQUEST, message)),
        };
        match app.decide(matched).await {
            Ok(rulings) if rulings.is_allowed() => self.allow(fields::joined(&rulings)),
            Ok(Rulings { refusal: Some(Refusal::TwoLines(header)), .. }) => self.two_lines(&header),
            Ok(rulings) => self.deny(fields::joined(&rulings)),
            Err(error) => self.problem(error.into()),
        }
    }

    fn matched(self, app: &App, parts: &Parts, peer: &Peer) -> Result<Matched, String> {
        let caller = Caller::of_request(parts, peer, &app.settings.trusted_proxies);
        let policies = app.policies.current();
        let Chosen { policy, key } = self.chosen(parts)?;
        let Some(name) = policy else {
            if key.is_some() {
                return Err("key needs a policy".to_owned());
            }
            let (method, target) = self.target(parts)?;
            let path = target.split(['?', '#']).next().unwrap_or(&target);
            return Ok(policies.applied(&caller.asking_for(&method, path)));
        };
        let key = key.filter(|key| !key.is_empty()).map(valid_key).transpose();
        let value = key.map_err(|wrong| wrong.message)?.map(|key| format!("key:{key}"));
        let (method, _) = self.target(parts).unwrap_or(("GET".into(), "/".into()));
        let matched = policies.chosen(&name, value.as_deref(), &caller.asking_for(&method, "/"));
        matched.ok_or_else(|| "there is no policy of that name".to_owned())
    }

    /// The query, where it is the operator's alone. Caddy keeps the visitor's query unless the
    /// configuration says otherwise, and Envoy always does.
    fn chosen(self, parts: &Parts) -> Result<Chosen, &'static str> {
        let is_the_operators = matches!(self, Self::Nginx | Self::Ingress);
        if !is_the_operators || parts.uri.query().is_none() {
            return Ok(Chosen::default());
        }
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(chosen)| chosen).map_err(|_| "the query may have policy and key")
    }

    /// The method and the target of the visitor's request.
    fn target(self, parts: &Parts) -> Result<(Cow<'_, str>, Cow<'_, str>), &'static str> {
        let (method, target) = match self {
            Self::Nginx => ("x-original-method", header(parts, "x-original-uri")),
            Self::Ingress => ("x-original-method", original_url(parts)),
            Self::Forwarded => ("x-forwarded-method", header(parts, "x-forwarded-uri")),
            Self::Envoy => {
                let path = parts.uri.path().strip_prefix(ENVOY).expect("the path of its route");
                return Ok((parts.method.as_str().into(), path.into()));
            }
        };
        let target = target.ok_or(match self {
            Self::Nginx => "X-Original-URI or a policy is needed",
            Self::Ingress => "X-Original-URL or a policy is needed",
            Self::Forwarded | Self::Envoy => "X-Forwarded-Uri is needed",
        })?;
        Ok((header(parts, method).unwrap_or("GET".into()), target))
    }

    fn allow(self, fields: HeaderMap) -> Response<Body> {
        let status = match self {
            Self::Nginx => StatusCode::NO_CONTENT,
            Self::Ingress | Self::Forwarded | Self::Envoy => StatusCode::OK,
        };
        respond(status, fields, Body::empty())
    }

    /// The visitor sees this answer, unless the proxy is nginx.
    fn deny(self, mut fields: HeaderMap) -> Response<Body> {
        match self {
            Self::Nginx | Self::Ingress => respond(StatusCode::FORBIDDEN, fields, Body::empty()),
            Self::Forwarded | Self::Envoy => {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                respond(StatusCode::TOO_MANY_REQUESTS, fields, DENIED.into())
            }
        }
    }

    /// nginx and ingress-nginx make 500 of a 400.
    fn two_lines(self, header: &HeaderName) -> Response<Body> {
        let problem = Problem::two_lines(header);
        match self {
            Self::Nginx | Self::Ingress => problem.with_status(StatusCode::FORBIDDEN).response(),
            Self::Forwarded | Self::Envoy => problem.response(),
        }
    }

    /// Never 502 or 504: from these a proxy concludes that the service is gone, and may allow the
    /// request. ingress-nginx makes 500 of every 4xx but 401 and 403.
    fn problem(self, problem: Problem) -> Response<Body> {
        let status = match problem.status() {
            status if status.is_server_error() => StatusCode::SERVICE_UNAVAILABLE,
            _ if self == Self::Ingress => StatusCode::FORBIDDEN,
            status => status,
        };
        problem.with_status(status).response()
    }
}

/// `http://host/path?query`. The visitor chooses the host (`a?b`), but nginx accepts no `/` in it.
fn original_url(parts: &Parts) -> Option<Cow<'_, str>> {
    let url = header(parts, "x-original-url")?;
    let (_, behind_scheme) = url.split_once("://")?;
    let path = behind_scheme.find('/')?;
    Some(behind_scheme[path..].to_owned().into())
}

/// Bytes that are not UTF-8 are replaced: they match no route and no method, and the request still
/// gets an answer.
fn header<'a>(parts: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    Some(String::from_utf8_lossy(parts.headers.get(name)?.as_bytes()))
}

fn respond(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
