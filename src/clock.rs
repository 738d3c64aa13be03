//! The only place where time is read.

use ratelimit_core::Now;

use crate::error::Error;
use crate::ffi;

/// The server's cached clock, if the server has one (Redis 7.2, Valkey): it agrees with the expiry
/// of keys, and stands still inside scripts and transactions. Redis 7.0 gives the module
/// milliseconds only, and expires keys by the system's clock, so there the system's clock is read.
pub(crate) fn now() -> Result<Now, Error> {
    #[cfg(feature = "test-hooks")]
    if let Some(frozen) = crate::test_hooks::frozen_clock() {
        return Ok(Now::from_micros(frozen)?);
    }
    let micros = ffi::cached_micros().unwrap_or_else(ffi::system_micros);
    Ok(Now::from_micros(micros)?)
}
