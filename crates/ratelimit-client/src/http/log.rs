//! A mistake of a program or of its clients, reported once and not for each request.

use super::NoKey;

/// Writes one warning in its life. Without the feature `tracing` it writes none.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    #[cfg(feature = "tracing")]
    is_written: std::sync::atomic::AtomicBool,
}

impl LogOnce {
    #[cfg(feature = "tracing")]
    pub(super) fn warn(&self, message: &str, limit: &str, reason: &NoKey) {
        if !self.is_written.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::warn!(limit, %reason, "{message}; this is logged once");
        }
    }

    #[cfg(not(feature = "tracing"))]
    pub(super) fn warn(&self, _message: &str, _limit: &str, _reason: &NoKey) {}
}

/// One warning for each reason why a request is refused without a key, so that a client's mistake
/// does not hide the program's.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    missing: LogOnce,
    two_lines: LogOnce,
    no_peer: LogOnce,
}

impl RefusalLog {
    pub(super) fn warn(&self, rule: &str, reason: &NoKey) {
        let log = match reason {
            NoKey::Missing { .. } => &self.missing,
            NoKey::TwoLines { .. } => &self.two_lines,
            NoKey::NoPeer => &self.no_peer,
        };
        log.warn("requests without a key are refused", rule, reason);
    }
}
