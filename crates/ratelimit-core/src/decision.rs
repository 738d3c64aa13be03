//! What a call comes to: the answer for its caller, and what is to be stored.

use core::cmp::Reverse;

use crate::policy::MAX_PAIRS;
use crate::text::Text;

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

impl RetryAfter {
    /// As every reply has it: 0 for now, the milliseconds, −1 for never.
    #[inline(always)]
    pub const fn to_wire(self) -> i64 {
        match self {
            Self::Now => 0,
            Self::Millis(millis) => millis as i64,
            Self::Never => -1,
        }
    }
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

impl Standing {
    const BLANK: Self =
        Self { limit: 0, remaining: 0, retry_after: RetryAfter::Now, reset_after_ms: 0 };
}

/// What an allowed call leaves under the key.
#[derive(Clone, Debug)]
pub struct NextOf<const N: usize> {
    pub(crate) text: Text<N>,
    pub(crate) plain_count: Option<u64>,
    /// Milliseconds since 1970.
    pub expiry_ms: u64,
}

/// With room for every pair that a call can have.
pub type Next = NextOf<MAX_PAIRS>;

impl<const N: usize> NextOf<N> {
    pub(crate) fn blank() -> Self {
        Self { text: Text::empty(), plain_count: None, expiry_ms: 0 }
    }

    /// The number that the string is, where it is a plain count.
    pub fn plain_count(&self) -> Option<u64> {
        self.plain_count
    }

    /// The string to store.
    pub fn value(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// What one call comes to.
#[derive(Clone, Debug)]
pub struct OutcomeOf<const N: usize> {
    standings: [Standing; N],
    len: usize,
}

/// With room for every pair that a call can have.
pub type Outcome = OutcomeOf<MAX_PAIRS>;

impl<const N: usize> OutcomeOf<N> {
    pub(crate) fn blank(len: usize) -> Self {
        Self { standings: [Standing::BLANK; N], len }
    }

    /// What pair `i` says to the call.
    pub(crate) fn set_wait(&mut self, i: usize, limit: u64, retry_after: RetryAfter) {
        self.standings[i] = Standing { limit, retry_after, ..Standing::BLANK };
    }

    /// How pair `i` stands in the end.
    pub(crate) fn set_usage(&mut self, i: usize, remaining: u64, reset_after_ms: u64) {
        let standing = &mut self.standings[i];
        standing.remaining = remaining;
        standing.reset_after_ms = reset_after_ms;
    }

    /// Whether every pair lets the call pass.
    #[inline(always)]
    pub fn allowed(&self) -> bool {
        self.standings().iter().all(|standing| standing.retry_after == RetryAfter::Now)
    }

    /// Each pair's standing, in the order given.
    pub fn standings(&self) -> &[Standing] {
        // As in a policy: one where there is room for one.
        &self.standings[..if N == 1 { 1 } else { self.len }]
    }

    /// The pair that speaks for all. Denied: the longest wait. Allowed: the smallest remaining,
    /// then the longest reset. Then the first given.
    pub fn binding(&self) -> &Standing {
        let standings = self.standings().iter();
        let binding = if self.allowed() {
            standings.min_by_key(|standing| (standing.remaining, Reverse(standing.reset_after_ms)))
        } else {
            standings.min_by_key(|standing| Reverse(standing.retry_after))
        };
        binding.unwrap_or(&self.standings[0])
    }
}
