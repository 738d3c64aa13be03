//! The service as it ships, with real servers, a real nginx and a real HTTP client.
#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "a test may panic, and its numbers are small"
)]

mod api;
mod auth;
mod bounds;
mod browser;
mod compose;
mod dashboard;
mod decisions;
mod documents;
mod exporter;
mod failure;
mod guard;
mod healthy;
mod hostile;
mod hosts;
mod kubernetes;
mod log;
mod metrics;
mod monitoring;
mod nginx;
mod openapi;
mod policies;
mod proxies;
mod service;
mod settings;
mod shutdown;
mod start;
mod targets;
mod upstream;
