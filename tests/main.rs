//! Tests of the module and the Lua script on real servers. Each file is about one behaviour.
//!
//! `make test` runs them on the servers that it finds, `make test-matrix` on all servers.
#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

mod access;
mod arguments;
mod benchmarks;
mod clients;
mod cluster;
mod concurrency;
mod crash;
mod documents;
mod effects;
mod faults;
mod foreign_keys;
mod fuzz;
mod introspection;
mod late_listeners;
mod loading;
mod memory;
mod operations;
mod reply;
mod silence;
mod upgrade;
mod vectors;
