//! A gRPC service with ten calls a second for each client address, twenty at once. A denied call is
//! RESOURCE_EXHAUSTED. Run it beside a Redis or Valkey:
//! `cargo run -p ratelimit-client --features http,reconnect --example tonic`.

use std::time::Duration;

use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule, TrustedProxies};
use ratelimit_client::{Connection, ConnectionOptions, Limiter, OnFailure, Policy};
use tonic::transport::server::{Server, TcpConnectInfo};

const CALLS: Policy = Policy::bucket(10, Duration::from_secs(1)).burst(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    let connection = Connection::single(url, ConnectionOptions::new())?;
    let on_failure = OnFailure::open_after(Duration::from_millis(50));
    let limiter = Limiter::redis(connection, on_failure).build();
    let address = KeyExtractor::address(TrustedProxies::direct(), |request| {
        Some(request.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip())
    });

    // The health service stands for your own.
    let (_, service) = tonic_health::server::health_reporter();
    Server::builder()
        .layer(RateLimitLayer::new(limiter, Rule::new("grpc", CALLS), address))
        .add_service(service)
        .serve("127.0.0.1:50051".parse()?)
        .await?;
    Ok(())
}
