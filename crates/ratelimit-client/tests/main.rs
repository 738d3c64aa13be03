//! The client against real servers, one file for each behaviour.
#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

mod backends;
#[cfg(feature = "cluster")]
mod cluster;
mod concurrency;
#[cfg(feature = "reconnect")]
mod connection;
mod denials;
mod detection;
mod failures;
mod hostile;
mod policy_text;
mod refusals;
mod round_trips;
#[cfg(feature = "sentinel")]
mod sentinel;
mod vectors;

use std::future::Future;
use std::time::Duration;

use ratelimit_client::redis::aio::{
    ConnectionManager, ConnectionManagerConfig, MultiplexedConnection,
};
use ratelimit_client::redis::{AsyncConnectionConfig, Client};
use ratelimit_client::{Builder, Limiter, OnFailure};
use ratelimit_harness::{on_every_server, servers, Binary, Server};
use tokio::runtime::Runtime;

/// Longer than any call to a server that is up.
const LONG: Duration = Duration::from_secs(30);
/// A window that does not end during a test.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Runs a test on each server in turn, each in a runtime of its own.
fn on_each(test: impl AsyncFn(&'static Binary)) {
    on_every_server(|binary| run(test(binary)));
}

/// Runs a test on one server: of what the client does, where all servers do the same.
#[cfg(feature = "reconnect")]
fn on_one(test: impl AsyncFn(&'static Binary)) {
    run(test(&servers()[0]));
}

fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(test)
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("a runtime")
}

fn client(port: u16) -> Client {
    Client::open(("127.0.0.1", port)).expect("an address")
}

/// A connection without a timeout of its own, so that the limiter's deadline is the only one.
async fn connection(port: u16) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connecting = client(port).get_multiplexed_async_connection_with_config(&config).await;
    connecting.expect("the server accepts")
}

/// A connection that connects at the first call, and soon again after a failure.
fn manager(port: u16) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(None)
        .set_max_delay(Duration::from_millis(50));
    ConnectionManager::new_lazy_with_config(client(port), config).expect("a configuration")
}

/// A limiter over one connection to a server that stays up.
async fn limiter(server: &Server) -> Builder {
    Limiter::redis(connection(server.port()).await, OnFailure::closed_after(LONG))
}

/// Repeats a condition until it is true.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        // So that the client's own tasks see it, too.
        tokio::time::sleep(Duration::from_millis(3)).await;
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "not within a minute: {what}");
}
