//! A circuit breaker: a server that fails again and again is left alone for a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Closed until so many attempts in a row have failed; then open for a pause, after which one
/// attempt a pause goes through, until one succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_to_open: u32,
    pause_ms: u64,
    failures: AtomicU32,
    open_until_ms: AtomicU64,
}

impl Breaker {
    pub(crate) fn new(failures_to_open: u32, pause_ms: u64) -> Self {
        Self {
            failures_to_open: failures_to_open.max(1),
            pause_ms,
            failures: AtomicU32::new(0),
            open_until_ms: AtomicU64::new(0),
        }
    }

    /// Whether an attempt may be made; `now_ms` is of any clock that does not step back.
    pub(crate) fn permits(&self, now_ms: u64) -> bool {
        if self.failures.load(Relaxed) < self.failures_to_open {
            return true;
        }
        let until = self.open_until_ms.load(Relaxed);
        // Of those that come when the pause is over, the one that starts the next one goes through.
        now_ms >= until
            && self
                .open_until_ms
                .compare_exchange(until, now_ms + self.pause_ms, Relaxed, Relaxed)
                .is_ok()
    }

    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    pub(crate) fn failed(&self, now_ms: u64) {
        let before = self.failures.fetch_add(1, Relaxed);
        if before + 1 == self.failures_to_open {
            self.open_until_ms.store(now_ms + self.pause_ms, Relaxed);
        }
        // Stays where it is far from overflowing.
        if before > self.failures_to_open {
            self.failures.store(self.failures_to_open, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_attempt_through_a_pause() {
        let breaker = Breaker::new(3, 100);
        breaker.failed(0);
        breaker.failed(0);
        breaker.succeeded();
        for now in [1, 2] {
            breaker.failed(now);
            assert!(breaker.permits(now));
        }
        breaker.failed(3);
        assert!(!breaker.permits(3) && !breaker.permits(102));
        assert!(breaker.permits(103), "the pause is over");
        assert!(!breaker.permits(103), "one goes through");
        breaker.failed(150);
        assert!(!breaker.permits(202) && breaker.permits(203) && !breaker.permits(204));
        breaker.succeeded();
        assert!(breaker.permits(204) && breaker.permits(204));
    }
}
