//! Rate limits kept in Redis or Valkey, by the commands `RATELIMIT.*` of the module, by its Lua twin where
//! no module may be loaded, or in the memory of this process. All three decide alike.
//!
//! A [`Policy`] says what is permitted, a [`Limiter`] decides, an [`Answer`] says what was decided and by
//! whom.
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
//! // A call may cost more than one; one that is denied costs nothing.
//! match limiter.check_call(Call::new("user:42", &API).cost(3)).await?.decision {
//!     Decision::Allowed(quota) => println!("go on, {} left", quota.remaining),
//!     Decision::Denied { retry_after, .. } => assert!(retry_after <= Duration::from_secs(60)),
//!     Decision::DeniedForever(quota) => println!("more than {} never pass", quota.limit),
//! }
//! assert_eq!(limiter.peek("user:42", &API).await?.quota().remaining, 2);
//!
//! // Each window has numbers of its own.
//! assert_eq!(limiter.peek("user:42", &API).await?.standings[1].quota.remaining, 99);
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! A limiter takes any async connection of the crate [`redis`] (on tokio), which it does not pool, retry
//! or reconnect: that is the connection's to do.
//!
//! | connection | feature | when the server was gone |
//! | --- | --- | --- |
//! | `redis::aio::ConnectionManager` | `reconnect` | connects again |
//! | `SentinelConnection` | `sentinel` | asks the sentinels for the master again |
//! | `redis::cluster_async::ClusterConnection` | `cluster` | follows the cluster; tries a call again |
//! | `redis::aio::MultiplexedConnection` | | stays broken |
//!
//! ```no_run
//! use ratelimit_client::{redis, Limiter, OnFailure};
//! use redis::aio::{ConnectionManager, ConnectionManagerConfig};
//! use redis::{io::tcp::TcpSettings, Client, IntoConnectionInfo};
//! use std::time::Duration;
//!
//! # fn main() -> redis::RedisResult<()> {
//! // On Linux: a host that is gone without a word is given up after 5 s, not after a quarter of an hour.
//! let tcp = TcpSettings::default().set_user_timeout(Duration::from_secs(5));
//! let server = "redis://127.0.0.1".into_connection_info()?.set_tcp_settings(tcp);
//! // Connects at the first call, so that the service starts without a server, too.
//! let config = ConnectionManagerConfig::new().set_max_delay(Duration::from_millis(500));
//! let connection = ConnectionManager::new_lazy_with_config(Client::open(server)?, config)?;
//!
//! let on_failure = OnFailure::open_after(Duration::from_millis(50));
//! let limiter = Limiter::redis(connection, on_failure).prefix("app:").build();
//! # Ok(())
//! # }
//! ```
//!
//! The module is asked; a server that does not know its command is asked by the Lua twin (Redis 7 or
//! Valkey), and each five seconds the module is tried again: see [`Backend`]. Both keep the same state.
//! [`Limiter::check_each`] asks for many keys in one round trip.
//!
//! # When the server is slow or gone
//!
//! [`OnFailure`] is the one choice without a default: how long a check may take, the time to connect
//! included, and what happens then.
//!
//! | choice | a call without an answer | the bound |
//! | --- | --- | --- |
//! | [`open_after`](OnFailure::open_after) | passes | none |
//! | [`closed_after`](OnFailure::closed_after) | [`Error::Unavailable`] | nothing passes |
//! | [`local_after`](OnFailure::local_after) | is decided in memory, by a share of the limit | n × max(1, ⌊limit / n⌋) of n instances, besides what the server had let pass |
//!
//! After five calls in a row without an answer a circuit breaker leaves the server alone, and tries it
//! with one call a second ([`Builder::circuit_breaker`]), so that a dead server costs nobody the deadline
//! each time. [`Answer::source`] says who decided, and [`Limiter::counts`] how often. A call that was
//! given up may still be counted by the server. The connection has timeouts of its own, too: of a
//! `redis::aio::MultiplexedConnection` and a `ConnectionManager` half a second for an answer.
//!
//! A server that refuses one call (a key of another type, an access rule) is no failure but
//! [`Error::Refused`], and an answer that no limiter gives is [`Error::Reply`]; neither is ever taken
//! for allowed.
//!
//! # Not asking when the answer is known
//!
//! With [`Builder::remember_denials`] a key that was denied is denied here until its wait is over, so
//! that a flood of denied calls does not reach the server. It never lets pass what the server would deny;
//! a reset is seen late, by no more than the bound that is given with it.
//!
//! # Features
//!
//! None is on by default: `reconnect`, `sentinel`, `cluster` as above; `tls` for `rediss://` (rustls, with
//! the roots of the system); `http` for the `tower` layer of the module `http`, which answers 429.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// There each item says which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod breaker;
mod builder;
mod call;
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
#[cfg(feature = "sentinel")]
mod sentinel;
mod server;
mod sync;
mod wire;

pub use answer::{Answer, Decision, Failure, Quota, Retry, Source, Standing};
pub use builder::Builder;
pub use call::Call;
pub use counts::Counts;
pub use error::Error;
pub use limiter::Limiter;
pub use on_failure::OnFailure;
pub use policy::{ParsePolicyError, Policy, PolicyError};
pub use ratelimit_core::policy::{MAX_LIMIT, MAX_PAIRS};
pub use ratelimit_core::{Algorithm, ArgumentError, Pair, PolicyError as PolicyRule, Window};
/// The crate of the connections, in the version that a [`Limiter`] takes.
pub use redis;
#[cfg(feature = "sentinel")]
pub use sentinel::SentinelConnection;
pub use server::Backend;
