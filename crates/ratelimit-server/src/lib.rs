//! The service: rate limits over HTTP. Once its Redis is there ([`start`]), a request enters at [`serve`], is
//! routed here, and is decided by the limiter that [`backend`] has made of the settings.
//!
//! | path | file |
//! | --- | --- |
//! | `GET /` | `http/welcome.rs`: the rate-limited API; `guard.rs` and `policies/` decide |
//! | `POST /v1/check`, `/v1/peek`, `/v1/check/batch` | `http/check.rs` |
//! | `/v1/auth` | `http/auth.rs`, for nginx |
//! | `GET /metrics` | `telemetry/metrics.rs` |
//! | `GET /healthz`, `/readyz` | `backend/health.rs` |
//! | `GET /openapi.json` | `http/openapi.rs` |
//! | `GET /dashboard` | `page/`: the live page, and the simulations it shows |

mod app;
mod backend;
mod guard;
mod http;
mod page;
mod policies;
mod settings;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::Router;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use app::App;
use backend::{health, start, Backend};
pub use http::healthcheck::ask as ask_whether_healthy;
use http::problem::Problem;
use http::serve::{self, Ends, Signals};
use http::{auth, check, openapi};
pub use settings::{Log, Settings, Task};
pub use telemetry::log::start as start_log;

/// Serves until the process is asked to end. `Err`: why it could not start, or not end in time.
pub async fn run(settings: Settings) -> Result<(), String> {
    // An error is that there is one already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let socket = serve::take_port(settings.listen)?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let (stop, stopping) = watch::channel(false);
    let Backend { limiter, ping } = backend::open(&settings)?;
    let app = Arc::new(App::new(settings, address, limiter, stopping)?);
    // From here on: a signal that nobody listens for would end the process at once.
    let mut ends = Ends::listen();
    let hangup = match &app.settings.policies {
        Some(_) => serve::signal(SignalKind::hangup()),
        // It ends the process, as it does others.
        None => Signals::never(),
    };
    tokio::select! {
        arrived = start::wait_for_redis(&app.settings, ping) => arrived?,
        () = ends.next() => return Ok(()),
    }
    let listener = serve::listen(socket)?;
    tracing::info!(
        address = %address,
        instance = app.instance,
        backend = app.settings.target.name(),
        "listening"
    );
    tokio::spawn(keep_house(Arc::clone(&app), hangup));
    tokio::spawn(async move {
        ends.next().await;
        tracing::info!("ending: finishing what was begun");
        stop.send_replace(true);
        // Whoever asks twice does not want to wait.
        ends.next().await;
        std::process::exit(1);
    });
    let router = router(&app);
    if !serve::serve(listener, Arc::clone(&app), router).await {
        return Err("ended by the deadline, with requests unanswered".to_owned());
    }
    tracing::info!("ended");
    Ok(())
}

/// What goes on beside the requests.
async fn keep_house(app: Arc<App>, hangup: Signals) {
    let denials = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            app.denied.tell_left_out();
        }
    };
    let policies = app.policies.keep_current(&app.settings, &app.metrics, hangup);
    tokio::join!(health::keep_looking(&app), policies, denials);
}

fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/", any(welcome_is_got))
        .route("/v1/check", post(check::check))
        .route("/v1/peek", post(check::peek))
        .route("/v1/check/batch", post(check::batch))
        .route("/v1/auth", any(auth::auth))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
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
