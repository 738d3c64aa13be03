//! Limits for HTTP, as a `tower` layer that works unchanged in axum, hyper and tonic: whose request it
//! is ([`KeyExtractor`]), what it may do ([`Rule`]), and what its answer says ([`fields`]).
//!
//! | the limiter says | the request gets |
//! | --- | --- |
//! | allowed | the service's own response, with the fields |
//! | denied | 429, with the fields, and `Retry-After` unless it can never pass |
//! | an [error](crate::Error): failing closed, or the server refuses | 503, without fields: nothing is known, and nothing passes |
//!
//! See [`RateLimitLayer`].

mod address;
pub mod fields;
mod key;
mod layer;
mod refusal;
mod service;

pub use address::TrustedProxies;
pub use key::KeyExtractor;
pub use layer::{RateLimitLayer, Rule};
pub use refusal::{Reason, Refusal};
pub use service::{Body, RateLimit, ResponseFuture};
