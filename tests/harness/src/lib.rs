//! Real servers for the tests.
//!
//! A test runs [`on_every_server`] and starts what it needs with [`Setup`]. A server ends when its
//! [`Server`] is dropped, also when the test panics. No test sleeps for a fixed time:
//! [`eventually`] waits for a condition, with a deadline.

mod algorithms;
mod binaries;
mod cluster;
mod connection;
mod errors;
mod faked;
mod forwarder;
mod frozen;
mod limiter;
mod random;
mod replay;
mod replica;
mod reply;
mod samples;
mod sentinel;
mod server;
mod vectors;
mod wait;

pub use algorithms::{policies, ALGORITHMS};
pub use binaries::{
    faketime, module, not_applicable, on_every_server, page, repository, servers, test_module,
    Binary,
};
pub use cluster::{Cluster, ClusterClient};
pub use connection::Connection;
pub use errors::{error_names, error_text};
pub use faked::Faked;
pub use forwarder::{Cut, Forwarder};
pub use frozen::{Frozen, T0_MICROS, T0_MILLIS};
pub use limiter::Limiter;
pub use random::Random;
pub use replay::{replay, Subject};
pub use replica::{catch_up, cut_off, follow, is_primary, resyncs, ReplicationStream};
pub use reply::Reply;
pub use samples::{fill, next_decisions, samples_on, snapshots, SAMPLES};
pub use sentinel::watch;
pub use server::{Server, Setup};
pub use vectors::{cases, Action, Case, Held, Request, Step, VECTORS};
pub use wait::eventually;
