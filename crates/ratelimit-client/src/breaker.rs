//! A circuit breaker: after repeated failures the server is not asked for a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::millis;

/// Closed until `failures_to_open` attempts in a row have failed. Then it is open for a pause;
/// after that, one attempt in each pause goes through, until one succeeds.
///
/// Threads that run at the same time may see each other's steps late. The worst that follows is one
/// attempt more or less.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_to_open: u32,
    pause_ms: u64,
    failures: AtomicU32,
    open_until_ms: AtomicU64,
}

impl Breaker {
    pub(crate) fn new(failures_to_open: u32, pause: Duration) -> Self {
        Self {
            failures_to_open: failures_to_open.max(1),
            pause_ms: millis(pause),
            failures: AtomicU32::new(0),
            open_until_ms: AtomicU64::new(0),
        }
    }

    /// Whether an attempt may be made. `now_ms` may come from any clock that does not step back.
    pub(crate) fn permits(&self, now_ms: u64) -> bool {
        if self.failures.load(Relaxed) < self.failures_to_open {
            return true;
        }
        let until = self.open_until_ms.load(Relaxed);
        let next = now_ms.saturating_add(self.pause_ms);
        // When a pause is over, the attempt that starts the next pause goes through.
        now_ms >= until
            && self.open_until_ms.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    pub(crate) fn failed(&self, now_ms: u64) {
        let one_more = |failures: u32| failures.checked_add(1);
        let before = self.failures.fetch_update(Relaxed, Relaxed, one_more);
        if before == Ok(self.failures_to_open - 1) {
            self.open_until_ms.store(now_ms.saturating_add(self.pause_ms), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once_in_each_pause() {
        let breaker = Breaker::new(3, Duration::from_millis(100));
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
        assert!(!breaker.permits(103), "one attempt goes through");
        breaker.failed(150);
        assert!(!breaker.permits(202) && breaker.permits(203) && !breaker.permits(204));
        breaker.succeeded();
        assert!(breaker.permits(204) && breaker.permits(204));
    }

    #[test]
    fn accepts_zero_failures_and_an_endless_pause() {
        let breaker = Breaker::new(0, Duration::MAX);
        assert!(breaker.permits(5), "closed at first");
        breaker.failed(5);
        assert!(!breaker.permits(5) && !breaker.permits(u64::MAX - 1));
        breaker.succeeded();
        assert!(breaker.permits(6));
    }

    #[test]
    fn one_of_many_threads_goes_through_an_open_circuit() {
        let breaker = Breaker::new(5, Duration::from_millis(100));
        let through = AtomicUsize::new(0);
        for round in 1..=50u64 {
            let now_ms = round * 100;
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        (0..50).for_each(|_| breaker.failed(0));
                        if breaker.permits(now_ms + 100) {
                            through.fetch_add(1, Relaxed);
                        }
                    });
                }
            });
            assert!(!breaker.permits(now_ms + 100));
        }
        // The first round may also see the moment in which it opens.
        let through = through.into_inner();
        assert!((50..=53).contains(&through), "{through}");
    }
}
