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
//! Imports go one way: `load`, then `commands`, then the other files of this folder, then `ffi`,
//! then `error` and `counters`, which know nothing of the server. Only `ffi` has `unsafe`.
#![deny(unsafe_op_in_unsafe_fn)]

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

use redis_module::alloc::RedisAlloc;

/// The server's own, so that it knows and counts the module's memory.
#[global_allocator]
static ALLOCATOR: RedisAlloc = RedisAlloc;

ffi::entry_points!(load::load, load::unload);
