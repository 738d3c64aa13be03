//! What the service reports of itself: metrics, the log, and the denials in both.

pub(crate) mod denied;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod sampler;

use ratelimit_client::Retry;

/// As in the reply of the command: 0 for now, −1 if waiting does not help.
pub(crate) fn retry_after_ms(retry: Retry) -> i64 {
    match retry {
        Retry::Now => 0,
        Retry::After(wait) => i64::try_from(wait.as_millis()).unwrap_or(i64::MAX),
        Retry::Never => -1,
    }
}
