//! Rate limits kept in Redis or Valkey.
mod answer;
mod breaker;
mod builder;
mod call;
mod counts;
mod denials;
mod error;
mod expiring;
#[cfg(feature = "http")]
pub mod http;
mod limiter;
mod memory;
mod policy;
mod reply;
#[cfg(feature = "sentinel")]
mod sentinel;
mod server;

pub use answer::{Answer, Decision, Failure, Quota, Retry, Source, Window};
pub use builder::{Builder, OnFailure};
pub use call::Call;
pub use counts::Counts;
pub use error::Error;
pub use limiter::Limiter;
pub use policy::{Policy, PolicyError};
pub use ratelimit_core::{Algorithm, Pair};
/// The crate of the connections, in the version that a [`Limiter`] takes.
pub use redis;
#[cfg(feature = "sentinel")]
pub use sentinel::SentinelConnection;
pub use server::Use;
