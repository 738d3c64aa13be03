//! The only place where time is read.

use ratelimit_core::Now;

use crate::error::Error;
use crate::ffi;

/// The server's cached clock where it offers one (Redis 7.2, Valkey): it agrees with its expiries and
/// stands still inside scripts and transactions. Redis 7.0 offers milliseconds only, and expires
/// by the system's clock: so that is read.
pub(crate) fn now() -> Result<Now, Error> {
    #[cfg(feature = "test-hooks")]
    if let Some(frozen) = crate::test_hooks::frozen_clock() {
        return Now::from_micros(frozen).ok_or(Error::Clock);
    }
    let micros = ffi::cached_micros().unwrap_or_else(ffi::system_micros);
    Now::from_micros(micros).ok_or(Error::Clock)
}
