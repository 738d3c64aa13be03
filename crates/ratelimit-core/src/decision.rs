//! The result of a call: the answer to its caller, and what to store.

use core::cmp::Reverse;

use crate::policy::MAX_PAIRS;
use crate::text::Text;

/// When the same call would be allowed, if no other call comes first. The order is that of the
/// wait: `Never` is the longest.
///
/// This enum is closed: a call is allowed now, later or never. There is no fourth case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryAfter {
    /// It is allowed now.
    Now,
    /// It is allowed after this many milliseconds (≥ 1), rounded up, and not one millisecond
    /// earlier.
    Millis(u64),
    /// It is never allowed: its cost is above the most that can pass at once.
    Never,
}

impl RetryAfter {
    /// The number in a reply: 0 for now, the milliseconds of a wait, −1 for never.
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
    /// The cost that can still pass now, rounded down.
    pub remaining: u64,
    /// When this pair would allow the call, whatever the others do.
    pub retry_after: RetryAfter,
    /// Milliseconds until the pair is as if unused, rounded up.
    pub reset_after_ms: u64,
}

impl Standing {
    const BLANK: Self =
        Self { limit: 0, remaining: 0, retry_after: RetryAfter::Now, reset_after_ms: 0 };
}

/// What to store under the key after an allowed call.
#[derive(Clone, Debug)]
pub struct NextOf<const N: usize> {
    pub(crate) text: Text<N>,
    pub(crate) plain_count: Option<u64>,
    /// The key's expiry, in milliseconds since 1970.
    pub expiry_ms: u64,
}

/// With room for [`MAX_PAIRS`] pairs.
pub type Next = NextOf<MAX_PAIRS>;

impl<const N: usize> NextOf<N> {
    pub(crate) fn blank() -> Self {
        Self { text: Text::empty(), plain_count: None, expiry_ms: 0 }
    }

    /// The count, if the string is a plain count and not a tagged state.
    pub fn plain_count(&self) -> Option<u64> {
        self.plain_count
    }

    /// The string to store.
    pub fn value(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// The decision on one call: how each pair stands.
#[derive(Clone, Debug)]
pub struct OutcomeOf<const N: usize> {
    standings: [Standing; N],
    len: usize,
}

/// With room for [`MAX_PAIRS`] pairs.
pub type Outcome = OutcomeOf<MAX_PAIRS>;

impl<const N: usize> OutcomeOf<N> {
    pub(crate) fn blank(len: usize) -> Self {
        Self { standings: [Standing::BLANK; N], len }
    }

    /// Sets the most that pair `i` lets pass at once, and how long the call must wait for it.
    pub(crate) fn set_wait(&mut self, i: usize, capacity: u64, retry_after: RetryAfter) {
        self.standings[i] = Standing { limit: capacity, retry_after, ..Standing::BLANK };
    }

    /// Sets what is left of pair `i`, and when it is as if unused.
    pub(crate) fn set_usage(&mut self, i: usize, remaining: u64, reset_after_ms: u64) {
        let standing = &mut self.standings[i];
        standing.remaining = remaining;
        standing.reset_after_ms = reset_after_ms;
    }

    /// Whether every pair allows the call.
    #[inline(always)]
    pub fn allowed(&self) -> bool {
        self.standings().iter().all(|standing| standing.retry_after == RetryAfter::Now)
    }

    /// Each pair's standing, in the order given.
    pub fn standings(&self) -> &[Standing] {
        // As in `PolicyOf::len`: the constant lets the compiler leave out the bounds check.
        &self.standings[..if N == 1 { 1 } else { self.len }]
    }

    /// The pair that decides for all. If the call is denied: the longest wait. If it is allowed:
    /// the smallest remaining, then the longest reset. Between equal pairs: the first given.
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
