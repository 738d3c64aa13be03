//! docs/operations.md: its statements on real servers, and its figures against the records.
//!
//! The page names these tests in comments: `<!-- tried by: … -->`.

mod alerts;
mod cluster;
mod eviction;
mod failover;
mod keys;
mod latency;
mod page;
mod persistence;
mod start;
mod users;
