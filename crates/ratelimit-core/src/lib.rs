//! The decision of a rate limiter, as one pure function: a [`Call`] (policy, cost) + what the key
//! holds + [`Now`] → an [`Outcome`]: each pair's standing and, if the call consumed, the [`Next`]
//! state of the key.
//!
//! No clock, no I/O, no allocation, no dependency. The algorithms are in [`fixed_window`],
//! [`sliding_window`] and [`token_bucket`]; what they share — several pairs, all or nothing —
//! is in [`algorithm`].
//!
//! ```
//! use ratelimit_core::{check, Call, Now, Stored};
//!
//! // limit 10 in 60 s, six used, 12 s of the window left: allowed, remaining 3.
//! let call = Call::parse([&b"10"[..], b"60"]).unwrap();
//! let now = Now::from_micros(1_000_000_000).unwrap();
//! let stored = Stored { value: b"6", expiry_ms: Some(1_012_000) };
//! let (outcome, next) = check(&call, Some(stored), now).unwrap();
//! assert!(outcome.allowed());
//! assert_eq!(outcome.binding().remaining, 3);
//! assert_eq!(outcome.binding().reset_after_ms, 12_000);
//! assert_eq!(next.unwrap().value(), b"7");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod algorithm;
pub mod command;
pub mod decision;
pub mod fixed_window;
pub mod policy;
pub mod sliding_window;
pub mod state;
pub mod time;
pub mod token_bucket;

pub use algorithm::{check, decide, peek, Algorithm, Mode};
pub use command::{ArgumentError, Call, CallOf};
pub use decision::{Next, NextOf, Outcome, OutcomeOf, RetryAfter, Standing};
pub use policy::{Pair, Policy, PolicyOf, Window};
pub use state::{StateError, Stored};
pub use time::Now;
