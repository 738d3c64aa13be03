//! Rate limits kept in Redis or Valkey. A call is decided by the commands `RATELIMIT.*` of a
//! module, by a Lua script where no module may be loaded, or in the memory of this process. All
//! three decide alike.
//!
//! A [`Policy`] is what is permitted, a [`Limiter`] decides, and an [`Answer`] has the decision,
//! its numbers and its source.
//!
//! ```
//! use ratelimit_client::{Call, Decision, Limiter, Policy};
//! use std::time::Duration;
//!
//! /// 3 a minute, and no more than 100 a day. A wrong constant does not compile.
//! const API: Policy =
//!     Policy::fixed(3, Duration::from_secs(60)).and(100, Duration::from_secs(86_400));
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ratelimit_client::Error> {
//! let limiter = Limiter::memory(10_000).build();
//!
//! let answer = limiter.check("user:42", &API).await?;
//! assert!(answer.is_allowed());
//! assert_eq!(answer.quota().remaining, 2);
//!
//! // A call may cost more than one. A denied call costs nothing.
//! match limiter.check_call(Call::new("user:42", &API).cost(3)).await?.decision {
//!     Decision::Allowed(quota) => println!("allowed, {} left", quota.remaining),
//!     Decision::Denied { retry_after, .. } => assert!(retry_after <= Duration::from_secs(60)),
//!     Decision::DeniedForever(quota) => println!("a cost above {} never passes", quota.limit),
//! }
//! assert_eq!(limiter.peek("user:42", &API).await?.quota().remaining, 2);
//!
//! // Each pair of limit and window has its own numbers.
//! assert_eq!(limiter.peek("user:42", &API).await?.standings[1].quota.remaining, 99);
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! A limiter takes any async connection of the crate [`redis`] on tokio. The client has one of its
//! own, which is made from addresses:
//!
//! | connection | feature | whose calls go to |
//! | --- | --- | --- |
//! | `Connection::single` | `reconnect` | the server that the name leads to now |
//! | `Connection::sentinel` | `sentinel` | the master that the sentinels name now |
//! | `Connection::cluster` | `cluster` | the node of the key |
//!
//! ```no_run
//! # #[cfg(feature = "reconnect")]
//! # fn main() -> ratelimit_client::redis::RedisResult<()> {
//! use ratelimit_client::{Connection, ConnectionOptions, Limiter, OnFailure};
//! use std::time::Duration;
//!
//! // Connects at the first call, so that the program also starts without a server.
//! let connection = Connection::single("redis://127.0.0.1", ConnectionOptions::new())?;
//! let on_failure = OnFailure::open_after(Duration::from_millis(50));
//! let limiter = Limiter::redis(connection, on_failure).prefix("app:").build();
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "reconnect"))]
//! # fn main() {}
//! ```
//!
//! What it promises, and a connection of the crate `redis` that you hand in does not:
//!
//! | promise | `Connection` | `ConnectionManager` | `ClusterConnection` | `MultiplexedConnection` |
//! | --- | --- | --- | --- | --- |
//! | connects again after its end | yes | yes | yes | no |
//! | leaves a server that became a replica, is loading, or wants another login | yes | no | only at READONLY | no |
//! | leaves a server that does not answer | yes | no | no | no |
//! | sends no call twice that may have been counted | yes | yes | only without retries, and then it does not follow MOVED | yes |
//! | the first call after an idle close is decided | yes | no | by a retry | no |
//!
//! The limiter calls the module. If the server does not know the module's command, the limiter runs
//! the Lua script instead (Redis 7 or Valkey), and tries the module again every five seconds: see
//! [`Backend`]. Both keep the same state. [`Limiter::check_each`] sends many calls in one round
//! trip.
//!
//! # When the server is slow or gone
//!
//! [`OnFailure`] is the one choice without a default. It says how long a check may take, the time
//! to connect included, and what happens then.
//!
//! | choice | a call without an answer | the bound while the server is gone |
//! | --- | --- | --- |
//! | [`open_after`](OnFailure::open_after) | is allowed | none |
//! | [`closed_after`](OnFailure::closed_after) | is an [`Error::Unavailable`] | nothing passes |
//! | [`local_after`](OnFailure::local_after) | is decided in memory, by a share | about the limit: see there |
//!
//! After five calls in a row without an answer, a circuit breaker opens: the server is tried with
//! one call a second, and no other call waits for the deadline ([`Builder::circuit_breaker`]).
//! [`Answer::source`] tells where a decision comes from, and [`Limiter::counts`] how often each
//! source decided. A call that was given up may still be counted by the server. Connections of the
//! crate `redis` have timeouts of their own: a `redis::aio::MultiplexedConnection` and a
//! `ConnectionManager` wait half a second for an answer.
//!
//! An error about one call (a key that holds something else) is no failure of the server but
//! [`Error::Refused`], and is never taken for allowed. Every other error is a failure, to which the
//! choice applies: a missing access right, an internal error, or a reply that is not a limiter's.
//! [`Limiter::last_failure`] has its text.
//!
//! # Remembered denials
//!
//! With [`Builder::remember_denials`] a denied key is denied here until its wait is over, so that a
//! flood of denied calls does not reach the server. A remembered denial never allows what the
//! server would deny. A reset by another client is seen late, by at most the time given there.
//!
//! # Features
//!
//! No feature is on by default.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `reconnect`, `sentinel`, `cluster` | the connections above |
//! | `tls` | `rediss://` by rustls and ring, with the certificate authorities of the system |
//! | `http` | the `tower` layer of the module `http`, which answers 429 |
//! | `tracing` | with `http`: a warning in the log at the first request without a key |
//! | `serde` | a [`Policy`] is read from text and written as text |
//! | `test-util` | another clock or another script for tests |
//!
//! If another crate of a program gives rustls a second source of cryptography, rustls cannot choose
//! one by itself. Then the program must install one before it connects: see
//! `rustls::crypto::CryptoProvider::install_default`.
#![forbid(unsafe_code)]
// docs.rs shows the feature that each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod breaker;
mod builder;
mod call;
#[cfg(feature = "reconnect")]
mod connection;
mod counts;
mod denials;
mod error;
mod expiring;
mod fallback;
#[cfg(feature = "http")]
pub mod http;
mod limiter;
mod memory;
mod on_failure;
mod policy;
mod server;
mod sync;
mod time;
mod wire;

pub use answer::{Answer, Decision, Failure, Quota, Retry, Source, Standing};
pub use builder::Builder;
pub use call::Call;
#[cfg(feature = "reconnect")]
pub use connection::{Connection, ConnectionOptions};
pub use counts::Counts;
pub use error::Error;
pub use limiter::Limiter;
pub use on_failure::OnFailure;
pub use policy::{ParsePolicyError, Policy, PolicyError};
pub use ratelimit_core::policy::{MAX_LIMIT, MAX_PAIRS};
pub use ratelimit_core::{Algorithm, ArgumentError, Pair, PolicyError as PolicyRule, Window};
/// The crate of the connections, in the version that a [`Limiter`] takes.
pub use redis;
pub use server::Backend;

#[cfg(all(doctest, feature = "http", feature = "reconnect"))]
#[doc = include_str!("../README.md")]
struct Readme;
