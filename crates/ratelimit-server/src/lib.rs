//! The service: rate limits over HTTP. It waits for Redis (`backend/start.rs`). Then a request
//! enters at `http/serve.rs`, is routed by `http/mod.rs`, and is decided by `app.rs` with the limiter that
//! `backend/` has made of the settings.
//!
//! | path | file |
//! | --- | --- |
//! | `GET /` | `http/welcome.rs`: the rate-limited API |
//! | `POST /v1/check`, `/v1/peek`, `/v1/check/batch` | `http/check.rs` |
//! | `/v1/auth`, `/v1/auth/…` | `http/auth.rs`, for proxies |
//! | `GET /metrics` | `telemetry/metrics.rs` |
//! | `GET /healthz`, `/readyz` | `http/probes.rs` |
//! | `GET /openapi.json` | `http/openapi.rs` |
//! | `GET /dashboard` | `page/`: the live page, and the simulations it shows |
//!
//! Each of these imports only what stands after it: `page`, `http`, `app`, `backend`, `settings`,
//! `policies`, `telemetry`; then `dotenv`, `secrets`, `signals`, `budget`, `sync`, `random`,
//! `units`. One exception: `settings` holds the `Target` of `backend`.

#![forbid(unsafe_code)]

mod app;
mod backend;
mod budget;
mod dotenv;
mod http;
mod page;
mod policies;
mod random;
mod secrets;
mod settings;
mod signals;
mod sync;
mod telemetry;
mod units;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use app::App;
use backend::{start, Backend};
pub use http::healthcheck::check_health;
use http::serve::{self, Audience};
use page::Page;
use settings::from_here;
pub use settings::{Settings, Task};
use signals::{Shutdown, Signals};
pub use telemetry::log::{start as start_log, Log};

/// Why the service could not start, or not end in time.
#[derive(Debug)]
pub enum Failure {
    /// A setting or the file of policies is wrong.
    Settings(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

/// Whether the settings and the file of policies can be used. Needs a runtime, and sends nothing.
///
/// # Errors
/// Why not.
pub async fn check_settings(settings: Settings) -> Result<(), Failure> {
    choose_cryptography();
    let limiter = backend::open(&settings).map_err(Failure::Settings)?.limiter;
    let (_, stopping) = watch::channel(false);
    App::new(settings, 0, limiter, stopping).map(drop).map_err(Failure::Settings)
}

/// Serves until a signal ends the process.
///
/// # Errors
/// Why it could not start, or not end in time.
pub async fn run(settings: Settings) -> Result<(), Failure> {
    choose_cryptography();
    let socket = serve::take_port("BIND, PORT", settings.listen)?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let admin_socket =
        settings.admin.map(|address| serve::take_port("ADMIN_BIND", address)).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let Backend { limiter, ping } = backend::open(&settings).map_err(Failure::Settings)?;
    let app = App::new(settings, address.port(), limiter, stopping).map_err(Failure::Settings)?;
    let app = Arc::new(app);
    let page = Page::new(Arc::clone(&app), &instances(&app.settings, address));
    // From here on a signal no longer ends the process at once.
    let mut shutdown = Shutdown::listen();
    // Without POLICIES too, because the end of a terminal or a habit must not end the service.
    let hangup = Signals::on(SignalKind::hangup());
    tokio::select! {
        arrived = start::wait_for_redis(&app.settings, ping) => arrived?,
        () = shutdown.next() => return Ok(()),
    }
    let listener = serve::listen(socket)?;
    let admin_listener = admin_socket.map(serve::listen).transpose()?;
    let admin = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    tracing::info!(
        address = %address,
        admin = admin.map(tracing::field::display),
        instance = app.instance,
        backend = app.settings.target.name(),
        "listening"
    );
    tokio::spawn(run_background(Arc::clone(&app), hangup));
    tokio::spawn(stop_at(shutdown, stop));
    let router = http::router(&app).merge(page.router());
    let operators = async {
        let Some(listener) = admin_listener else { return true };
        let router = http::admin_router(&app);
        serve::serve(listener, Arc::clone(&app), router, Audience::Operators).await
    };
    let clients = serve::serve(listener, Arc::clone(&app), router, Audience::Clients);
    if tokio::join!(clients, operators) != (true, true) {
        let why = "ended by SHUTDOWN_DEADLINE, with requests unanswered";
        return Err(Failure::Other(why.to_owned()));
    }
    tracing::info!("ended");
    Ok(())
}

fn choose_cryptography() {
    // Fails only if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The first signal stops the service, the second ends the process at once.
async fn stop_at(mut shutdown: Shutdown, stop: watch::Sender<bool>) {
    shutdown.next().await;
    tracing::info!("ending: finishing the requests that have begun");
    stop.send_replace(true);
    shutdown.next().await;
    std::process::exit(1);
}

/// The work beside the requests. Never returns.
async fn run_background(app: Arc<App>, hangup: Signals) {
    let denials = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            app.denied.report_left_out();
            app.fallbacks.report_left_out();
        }
    };
    let policies = app.policies.keep_current(&app.metrics, hangup);
    tokio::join!(app.health.keep_looking(&app.limiter, &app.settings), policies, denials);
}

/// The instances that the page sends its requests to; this one if the settings name none.
fn instances(settings: &Settings, address: SocketAddr) -> Vec<Uri> {
    if !settings.peers.is_empty() {
        return settings.peers.clone();
    }
    let own = format!("http://{}", from_here(address));
    vec![own.parse().expect("an address and a port are an authority")]
}
