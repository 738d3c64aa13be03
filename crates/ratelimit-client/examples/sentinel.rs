//! A limiter that follows the master of Redis Sentinel through a failover. The words after the
//! command are the addresses of the sentinels:
//! `cargo run -p ratelimit-client --features sentinel --example sentinel -- redis://127.0.0.1:26379`

use std::time::Duration;

use ratelimit_client::{Connection, ConnectionOptions, Limiter, OnFailure, Policy};

const API: Policy = Policy::fixed(100, Duration::from_secs(60));

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sentinels: Vec<String> = std::env::args().skip(1).collect();
    if sentinels.is_empty() {
        sentinels.push("redis://127.0.0.1:26379".to_owned());
    }
    // The master's user, password and database would stand here.
    let login = "redis://master";
    let connection = Connection::sentinel(sentinels, "mymaster", login, ConnectionOptions::new())?;
    // While there is no master, this process allows its share of the limit, as one of three.
    let on_failure = OnFailure::local_after(Duration::from_millis(200), 3, 10_000);
    let limiter = Limiter::redis(connection, on_failure).build();
    loop {
        match limiter.check("user:42", &API).await {
            Ok(answer) => {
                let (allowed, quota) = (answer.is_allowed(), answer.quota());
                println!("{}: allowed {allowed}, {} left", answer.source.as_str(), quota.remaining);
            }
            Err(error) => println!("{error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
