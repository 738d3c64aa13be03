//! Numbers of other types.

use std::time::Duration;

/// Whole milliseconds, rounded down. No duration here comes near the maximum.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For metrics and answers, whose numbers are signed.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
