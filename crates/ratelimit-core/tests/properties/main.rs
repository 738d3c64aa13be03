//! What holds for every call: the core against a naive oracle, and each promise of the contract by
//! itself. Random, and the same in every run; a failure shows the seed and the whole run.
#![allow(
    unreachable_pub,
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
