//! The HTTP side of the service: connections, endpoints, bodies and errors.

mod auth;
pub(crate) mod body;
mod check;
pub(crate) mod descriptors;
mod fields;
pub(crate) mod healthcheck;
mod host;
mod host_field;
mod openapi;
mod probes;
pub(crate) mod problem;
pub(crate) mod serve;
mod welcome;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::Router;

use crate::app::App;
use crate::telemetry::exposition;
use problem::Problem;

/// Every endpoint but those of the page. `serve` answers `GET /` without it, by the same function.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let public = Router::new()
        .route("/", get(welcome::welcome))
        .route("/v1/check", post(check::check))
        .route("/v1/peek", post(check::peek))
        .route("/v1/check/batch", post(check::batch))
        .merge(auth::routes())
        .route("/openapi.json", get(openapi::document));
    let public = match app.settings.admin {
        None => public.merge(operations()),
        Some(_) => public,
    };
    complete(public, app)
}

/// The endpoints of `ADMIN_BIND`.
pub(crate) fn admin_router(app: &Arc<App>) -> Router {
    complete(operations(), app)
}

fn operations() -> Router<Arc<App>> {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(probes::live))
        .route("/readyz", get(probes::ready))
}

fn complete(router: Router<Arc<App>>, app: &Arc<App>) -> Router {
    let router = router.method_not_allowed_fallback(wrong_method).fallback(no_such_path);
    router.with_state(Arc::clone(app))
}

async fn metrics_text(State(app): State<Arc<App>>, headers: HeaderMap) -> impl IntoResponse {
    let text = app.metrics.text();
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(exposition::wants_openmetrics) {
        ([(CONTENT_TYPE, exposition::OPENMETRICS)], text)
    } else {
        ([(CONTENT_TYPE, exposition::PLAIN)], exposition::to_plain(&text))
    }
}

async fn wrong_method() -> Response<Body> {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed; see the Allow header")
        .response()
}

async fn no_such_path() -> Response<Body> {
    Problem::new(StatusCode::NOT_FOUND, "not found; see /openapi.json").response()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::header::{ALLOW, CONTENT_LENGTH};
    use axum::http::{Method, Request};
    use tokio::sync::watch;
    use tower_service::Service;

    use super::*;
    use crate::backend;
    use crate::policies::key_by::Peer;
    use crate::settings::Settings;

    fn app() -> Arc<App> {
        let settings = Settings::of_arguments(&["--backend=memory", "--rate-limit=2"]);
        let limiter = backend::open(&settings).expect("valid settings").limiter;
        let (_, stopping) = watch::channel(false);
        Arc::new(App::new(settings, 1, limiter, stopping).expect("valid settings"))
    }

    fn request(method: Method, app: &App) -> Request<Body> {
        let mut request = Request::builder().method(method).body(Body::empty()).expect("valid");
        let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), &app.settings.trusted_proxies);
        request.extensions_mut().insert(peer);
        request
    }

    #[tokio::test]
    async fn the_router_answers_the_root_as_the_fast_path_does() {
        let app = app();
        for remaining in ["1", "0"] {
            let Ok(response) = router(&app).call(request(Method::GET, &app)).await;
            assert_eq!(response.status(), StatusCode::OK);
            let standing = format!("\"default\";r={remaining};t=60");
            assert_eq!(response.headers()["ratelimit"], standing.as_str());
        }
        let (parts, _) = request(Method::GET, &app).into_parts();
        let peer: Peer = parts.extensions.get().cloned().expect("inserted");
        let fast = welcome::answer(&app, &parts, &peer).await;
        let Ok(mut routed) = router(&app).call(request(Method::GET, &app)).await;
        // hyper adds this to the fast answer.
        routed.headers_mut().remove(CONTENT_LENGTH);
        assert_eq!((fast.status(), fast.headers()), (routed.status(), routed.headers()));
        let Ok(wrong) = router(&app).call(request(Method::POST, &app)).await;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(wrong.headers()[ALLOW], "GET,HEAD");
    }
}
