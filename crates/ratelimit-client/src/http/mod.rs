//! Limits for HTTP, as a `tower` layer that works unchanged in axum, hyper and tonic. A
//! [`KeyExtractor`] finds the key of a request, a [`Rule`] has its policy, and the [`fields`] of
//! the response carry the answer.
//!
//! | the limiter's answer | the response |
//! | --- | --- |
//! | allowed | the service's own, with the fields |
//! | denied | 429, with the fields, and with `Retry-After` unless the request can never pass |
//! | an [error](crate::Error) | 503, without fields: nothing is known, and nothing passes |
//!
//! # A request without a key
//!
//! The layer refuses it, and nothing is counted. The response has no fields, and carries the
//! [`NoKey`] as an extension. With the feature `tracing`, each layer logs the first request of each
//! kind as a warning.
//!
//! | [`NoKey`] | the response |
//! | --- | --- |
//! | [`Missing`](NoKey::Missing), [`TwoLines`](NoKey::TwoLines): the client's mistake | 400 |
//! | [`NoPeer`](NoKey::NoPeer): the program's mistake | 500 |
//!
//! [`KeyExtractor::or`] gives such requests another key, [`KeyExtractor::or_shared`] one limit for
//! all of them, and [`RateLimitLayer::respond`] another response.
//!
//! # The order of layers
//!
//! The outermost layer checks first. A request that an inner layer denies has been counted by the
//! outer ones; a request that an outer layer denies is not seen by the inner ones. Where that
//! matters, put both pairs into one policy, which counts nothing when it denies.
//!
//! ```
//! use http::{Request, Response};
//! use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
//! use ratelimit_client::{Limiter, Policy};
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tower::{service_fn, Service, ServiceBuilder};
//!
//! const BY_USER: Policy = Policy::fixed(5, Duration::from_secs(3600));
//! const FOR_ALL: Policy = Policy::fixed(1, Duration::from_secs(3600));
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = Limiter::memory(1000).build();
//! let (user, all) = (KeyExtractor::header("x-user"), KeyExtractor::shared());
//! // In a `ServiceBuilder` the first layer is the outermost; in axum the last is.
//! let mut service = ServiceBuilder::new()
//!     .layer(RateLimitLayer::new(limiter.clone(), Rule::new("user", BY_USER), user))
//!     .layer(RateLimitLayer::new(limiter.clone(), Rule::new("service", FOR_ALL), all))
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) }));
//!
//! for status in [200, 429] {
//!     let request = Request::builder().header("x-user", "ann").body(())?;
//!     assert_eq!(service.call(request).await?.status(), status);
//! }
//! // The inner layer denied the second request. The outer one had counted it.
//! assert_eq!(limiter.peek("user:x-user:ann", &BY_USER).await?.quota().remaining, 3);
//! # Ok(())
//! # }
//! ```
//!
//! See [`RateLimitLayer`].

mod address;
mod body;
pub mod fields;
mod key;
mod layer;
mod log;
mod refusal;
mod service;

pub use address::TrustedProxies;
pub use body::Body;
pub use key::{KeyExtractor, NoKey};
pub use layer::{RateLimitLayer, Rule};
pub use refusal::{Reason, Refusal};
pub use service::{RateLimit, ResponseFuture};
