//! What the service reports about itself: metrics, the log, and denials in both.

pub(crate) mod denied;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod sampler;

use ratelimit_client::Retry;

use crate::units::{millis, signed};

/// As in the reply of the command: 0 for now, −1 if waiting does not help.
pub(crate) fn retry_after_ms(retry: Retry) -> i64 {
    match retry {
        Retry::Now => 0,
        Retry::After(wait) => signed(millis(wait)),
        Retry::Never => -1,
    }
}
