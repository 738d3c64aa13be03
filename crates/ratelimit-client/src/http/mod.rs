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
//! See [`RateLimitLayer`].

mod address;
mod body;
pub mod fields;
mod key;
mod layer;
mod refusal;
mod service;

pub use address::TrustedProxies;
pub use body::Body;
pub use key::KeyExtractor;
pub use layer::{RateLimitLayer, Rule};
pub use refusal::{Reason, Refusal};
pub use service::{RateLimit, ResponseFuture};
