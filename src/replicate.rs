//! What replicas and the append-only file see of an allowed call: its effect, never the question.
//!
//! `SET key state PXAT t` gives the same bytes and the same expiry wherever and whenever it is
//! replayed, and needs no module there. Not INCRBY, and not KEEPTTL: a replica that has lost the
//! key would make one that never expires.

use ratelimit_core::decimal::{decimal_len, write_decimal};
use ratelimit_core::NextOf;

use crate::counters;
use crate::error::Error;
use crate::ffi::{self, Context, KeyName};

/// Once, at load.
pub(crate) fn prepare(ctx: &Context) {
    ffi::retain_strings(ctx);
}

/// When the module is unloaded.
pub(crate) fn end(ctx: &Context) {
    ffi::release_strings(ctx);
}

/// Comes before the change itself: if it fails, nothing was changed.
pub(crate) fn set<const N: usize>(
    ctx: &Context,
    key: KeyName,
    next: &NextOf<N>,
) -> Result<(), Error> {
    let mut digits = [0; 20];
    let expiry = &mut digits[..decimal_len(next.expiry_ms)];
    write_decimal(next.expiry_ms, expiry);
    if ctx.replicate_set(key, next.value(), expiry) {
        return Ok(());
    }
    counters::REPLICATION_FAILURES.count();
    Err(Error::Replication)
}
