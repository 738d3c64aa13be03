//! What a caller is told.

use crate::policy::MAX_PAIRS;

/// When the same call would pass, if nobody else comes. Ordered: never is the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryAfter {
    /// It passes now.
    Now,
    /// It passes after so many milliseconds (≥ 1), rounded up, and not one earlier.
    Millis(u64),
    /// It can never pass: the cost is above the most that can pass at once.
    Never,
}

/// How one pair stands.
///
/// Limit 10, six used, 12 s of the window left: `limit` 10, `remaining` 4, `reset_after_ms` 12000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The most that can pass at once.
    pub limit: u64,
    /// The cost that could still pass now, rounded down.
    pub remaining: u64,
    /// For this pair alone.
    pub retry_after: RetryAfter,
    /// Until the pair is as if unused, rounded up.
    pub reset_after_ms: u64,
}

/// The answer to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    standings: [Standing; MAX_PAIRS],
    len: usize,
}

impl Decision {
    pub(crate) fn of(len: usize, mut standing: impl FnMut(usize) -> Standing) -> Self {
        let unused =
            Standing { limit: 0, remaining: 0, retry_after: RetryAfter::Now, reset_after_ms: 0 };
        let mut standings = [unused; MAX_PAIRS];
        for (i, slot) in standings[..len].iter_mut().enumerate() {
            *slot = standing(i);
        }
        Self { standings, len }
    }

    /// Each pair's standing, in the order given.
    pub fn standings(&self) -> &[Standing] {
        &self.standings[..self.len]
    }

    /// Whether every pair lets the call pass.
    pub fn allowed(&self) -> bool {
        self.standings().iter().all(|s| s.retry_after == RetryAfter::Now)
    }

    /// The pair that speaks for all. Denied: the longest wait. Allowed: the smallest remaining,
    /// then the longest reset. Then the first given.
    pub fn binding(&self) -> &Standing {
        let denied = !self.allowed();
        let binds_more = |a: &Standing, b: &Standing| {
            if denied {
                return a.retry_after > b.retry_after;
            }
            (b.remaining, a.reset_after_ms) > (a.remaining, b.reset_after_ms)
        };
        let mut binding = &self.standings[0];
        for standing in &self.standings()[1..] {
            if binds_more(standing, binding) {
                binding = standing;
            }
        }
        binding
    }
}
