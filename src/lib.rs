//! RATELIMIT.CHECK and RATELIMIT.PEEK as a module for Redis and Valkey.
//!
//! The steps of one call, each in its file:
//!
//! 1. The server enters in `ffi`, whose guard turns a panic into an error reply.
//! 2. The command runs: `commands/check.rs` or `commands/peek.rs`.
//! 3. `arguments` reads the words, `clock` the time, `store` the key.
//! 4. `ratelimit-core` decides.
//! 5. Allowed: `replicate` sends the effect to replicas, then `store` writes the key.
//! 6. `reply` answers with the decision; `error` has the texts of what went wrong.
//!
//! Decide first, write last: whatever fails, fails before anything is changed.
//!
//! Imports go one way: commands, then the files beside this one, then `ffi`, then `error` and
//! `counters`, which know nothing of the server. Only `ffi` has `unsafe`.
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    missing_docs,
    reason = "the public items are of redis_module!, and nothing in Rust uses them"
)]

mod arguments;
mod clock;
mod commands;
mod counters;
mod error;
#[allow(unsafe_code)]
mod ffi;
mod load;
mod replicate;
mod reply;
mod settings;
mod store;
#[cfg(feature = "test-hooks")]
mod test_hooks;

use load::{load, unload};
use redis_module::alloc::RedisAlloc;

redis_module::redis_module! {
    name: "ratelimit",
    version: 1,
    allocator: (RedisAlloc, RedisAlloc),
    data_types: [],
    init: load,
    deinit: unload,
}
