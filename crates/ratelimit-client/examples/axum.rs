//! Five requests a minute for each client address. Run it beside a Redis or Valkey:
//! `cargo run -p ratelimit-client --features http,reconnect --example axum`, then
//! `curl -i localhost:3000`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::{extract::ConnectInfo, routing::get, Router};
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule, TrustedProxies};
use ratelimit_client::{Connection, ConnectionOptions, Limiter, OnFailure, Policy};

const API: Policy = Policy::fixed(5, Duration::from_secs(60));

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    let connection = Connection::single(url, ConnectionOptions::new())?;
    // Without an answer within 50 ms the request is allowed, so a broken Redis stops no request.
    let on_failure = OnFailure::open_after(Duration::from_millis(50));
    let limiter = Limiter::redis(connection, on_failure).build();
    let address = KeyExtractor::address(TrustedProxies::direct(), |request| {
        Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.ip())
    });

    let app = Router::new()
        .route("/", get(|| async { "hello\n" }))
        .layer(RateLimitLayer::new(limiter, Rule::new("api", API), address))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
