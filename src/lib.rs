//! RATELIMIT.CHECK and RATELIMIT.PEEK as a module for Redis and Valkey.
//!
//! The path of one call: the server calls the entry in [`ffi`], which hands over to the guard in
//! [`commands`]; the command ([`commands::check`], [`commands::peek`]) has its words judged
//! ([`arguments`]), reads the time ([`clock`]) and the key ([`store`]), lets `ratelimit-core`
//! decide, replicates the effect ([`replicate`]) before it writes it ([`store`]), and tells the
//! decision ([`reply`]) or what was wrong ([`error`]).
//!
//! Decide first, write last: whatever fails, fails before anything is changed.

mod arguments;
mod clock;
mod commands;
mod counters;
mod error;
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
