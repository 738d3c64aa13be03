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
