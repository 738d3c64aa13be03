//! The layer around real HTTP and gRPC services, with real clients and real Redis servers.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

mod damage;
mod denials;
mod fields;
mod grpc;
mod instance;
mod layers;
mod plain_hyper;
mod readiness;
mod readme;
mod rules;
mod without_key;
mod without_server;
