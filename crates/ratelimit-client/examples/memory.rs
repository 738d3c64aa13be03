//! Limits without a server, in the memory of the process:
//! `cargo run -p ratelimit-client --example memory`.

use std::time::Duration;

use ratelimit_client::{Decision, Error, Limiter, Policy};

/// Three a second, and no more than four a minute.
const API: Policy = Policy::sliding(3, Duration::from_secs(1)).and(4, Duration::from_secs(60));

#[tokio::main]
async fn main() -> Result<(), Error> {
    // At most 10,000 keys at a time. A key is free again when its windows are over.
    let limiter = Limiter::memory(10_000).build();
    for call in 1..=5 {
        match limiter.check("user:42", &API).await?.decision {
            Decision::Allowed(quota) => println!("{call}: allowed, {} left", quota.remaining),
            Decision::Denied { retry_after, .. } => {
                println!("{call}: denied, again in {retry_after:?}");
                tokio::time::sleep(retry_after.min(Duration::from_secs(2))).await;
            }
            Decision::DeniedForever(quota) => {
                println!("{call}: a cost above {} never passes", quota.limit);
            }
        }
    }
    println!("{:?}", limiter.counts());
    Ok(())
}
