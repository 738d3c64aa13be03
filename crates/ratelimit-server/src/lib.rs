//! The service: rate limits over HTTP. Once its Redis is there ([`start`]), a request enters at [`serve`], is
//! routed here, and is decided by the limiter that [`backend`] has made of the settings.
//!
//! | path | file |
//! | --- | --- |
//! | `GET /` | `http/welcome.rs`: the rate-limited API; `policies/` and `app.rs` decide |
//! | `POST /v1/check`, `/v1/peek`, `/v1/check/batch` | `http/check.rs` |
//! | `/v1/auth` | `http/auth.rs`, for nginx |
//! | `GET /metrics` | `telemetry/metrics.rs` |
//! | `GET /healthz`, `/readyz` | `http/probes.rs` |
//! | `GET /openapi.json` | `http/openapi.rs` |
//! | `GET /dashboard` | `page/`: the live page, and the simulations it shows |

mod app;
mod backend;
mod http;
mod page;
mod policies;
mod settings;
mod signals;
mod sync;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use app::App;
use backend::{start, Backend};
pub use http::healthcheck::ask as ask_whether_healthy;
use http::serve;
use page::Page;
use settings::from_here;
pub use settings::{Log, Settings, Task};
use signals::{Ends, Signals};
pub use telemetry::log::start as start_log;

/// Serves until the process is asked to end. `Err`: why it could not start, or not end in time.
pub async fn run(settings: Settings) -> Result<(), String> {
    // An error is that there is one already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let socket = serve::take_port(settings.listen)?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let (stop, stopping) = watch::channel(false);
    let Backend { limiter, ping } = backend::open(&settings)?;
    let page = Page::new(&instances(&settings, address), stopping.clone());
    let app = Arc::new(App::new(settings, address.port(), limiter, stopping)?);
    // From here on: a signal that nobody listens for would end the process at once.
    let mut ends = Ends::listen();
    let hangup = match &app.settings.policies {
        Some(_) => signals::signal(SignalKind::hangup()),
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
    let router = http::router(&app).merge(page.router());
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
