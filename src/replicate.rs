//! What replicas and the append-only file see of an allowed call: its effect, never the question.
//!
//! `SET key state PXAT t` gives the same bytes and the same expiry wherever and whenever it is
//! replayed, and needs no module there. INCRBY and KEEPTTL would not do: a replica that has lost
//! the key would make one that never expires.

use std::ffi::CStr;

use ratelimit_core::decimal::{decimal_len, write_decimal};
use ratelimit_core::NextOf;

use crate::counters;
use crate::error::Error;
use crate::ffi::{Context, KeyName, Retained, Value};

/// The option of SET, and the counts below 1000, as strings of the server. Made once, at load: to
/// send a kept string costs a tenth of making and freeing a new one.
static PXAT: Retained = Retained::empty();
static COUNTS: [Retained; 1000] = [const { Retained::empty() }; 1000];

/// At load.
pub(crate) fn retain_strings(ctx: &Context) {
    PXAT.fill(ctx, b"PXAT");
    for (count, string) in COUNTS.iter().enumerate() {
        string.fill(ctx, count.to_string().as_bytes());
    }
}

/// At unload.
pub(crate) fn release_strings(ctx: &Context) {
    for string in COUNTS.iter().chain([&PXAT]) {
        string.release(ctx);
    }
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
    if ctx.replicate_set(command(), key, value(next), &PXAT, expiry) {
        return Ok(());
    }
    counters::REPLICATION_FAILURES.count();
    Err(Error::Replication)
}

fn command() -> &'static CStr {
    #[cfg(feature = "test-hooks")]
    if crate::test_hooks::replication_fails() {
        return c"no.such.command";
    }
    c"SET"
}

fn value<const N: usize>(next: &NextOf<N>) -> Value<'_> {
    let retained = next.plain_count().and_then(|count| COUNTS.get(usize::try_from(count).ok()?));
    retained.map_or(Value::Bytes(next.value()), Value::Retained)
}
