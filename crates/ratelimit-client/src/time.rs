//! Durations in milliseconds.

use std::time::Duration;

/// Whole milliseconds, rounded down. A longer time than fits counts as the longest.
pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
