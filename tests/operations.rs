//! docs/operations.md: each of its statements on real servers, and the page against its sources.
//!
//! The page names these tests where it says what they try.

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
