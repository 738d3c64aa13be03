//! The decision of a rate limiter, as one pure function. From a [`Call`] (policy and cost), the
//! [`Stored`] string of its key, and [`Now`] it makes an [`Outcome`] (how each pair stands) and, if
//! the call is allowed, the [`Next`] string of the key.
//!
//! No clock, no I/O, no allocation, no dependency. Each file uses only files above it in this list:
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`time`] | the moment of a decision, and the roundings of a wait |
//! | [`decimal`] | numbers in decimal, read strictly and written fast |
//! | [`policy`] | the limits ([`Policy`]), and a call with its cost ([`Call`]) |
//! | `text` | the text of a state while it is read or written |
//! | [`decision`] | the answer ([`Outcome`]), and what to store ([`Next`]) |
//! | [`state`] | the string of a key ([`Stored`]), and what each algorithm must implement |
//! | [`fixed_window`], [`sliding_window`], [`token_bucket`] | the algorithms, for one pair |
//! | `stored` | the stored form of every algorithm, read and written |
//! | [`mod@decide`] | the decision, for every algorithm and any number of pairs |
//! | [`command`] | the words of the command; uses only `decimal` and `policy` |
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

pub mod command;
pub mod decide;
pub mod decimal;
pub mod decision;
pub mod fixed_window;
pub mod policy;
pub mod sliding_window;
pub mod state;
mod stored;
mod text;
pub mod time;
pub mod token_bucket;

pub use command::ArgumentError;
pub use decide::{check, decide, peek, settle, Mode, Settled};
pub use decision::{Next, NextOf, Outcome, OutcomeOf, RetryAfter, Standing};
pub use policy::{Algorithm, Call, CallOf, Pair, Policy, PolicyError, PolicyOf, Window};
pub use state::{StateError, Stored};
pub use time::{ClockError, Now};
