//! Properties of every call: the core agrees with a naive oracle, and keeps each promise of the
//! contract. The calls are random, but the same in every run; a failure shows the seed.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

mod agreement;
mod bounds;
mod oracle;
mod run;
mod states;
mod waits;
