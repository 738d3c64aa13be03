//! What is permitted: an algorithm and up to eight limit/window pairs. A [`Policy`] that exists
//! is valid, nothing re-checks it.

use crate::time::{MAX_REFILL_MS, MAX_WINDOW_MS};
use crate::Algorithm;

/// The largest limit, burst and cost. Times the longest refill in microseconds (2^49) it still
/// leaves the products of the algorithms 38 bits of room in 128.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;

/// The most limit/window pairs in one call.
pub const MAX_PAIRS: usize = 8;

/// The length of a window, from 1 ms to 366 days in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(u64);

impl Window {
    /// `None` outside the bounds.
    pub fn from_millis(millis: u64) -> Option<Self> {
        (1..=MAX_WINDOW_MS).contains(&millis).then_some(Self(millis))
    }

    /// `None` outside the bounds, or where it is no whole number of milliseconds.
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros % 1000 == 0).then_some(())?;
        Self::from_millis(micros / 1000)
    }

    /// The length in milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// The length in microseconds, at most 2^45.
    pub fn micros(self) -> u64 {
        self.0 * 1000
    }
}

/// One limit in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The cost permitted per window; 0 permits nothing.
    pub limit: u64,
    /// Its length.
    pub window: Window,
    /// The most that can pass at once: the limit, or a bucket's own capacity.
    pub burst: u64,
}

/// An algorithm with its pairs, of which it has room for `N`: nearly every call has one pair, and
/// to carry room for eight would cost it more than to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyOf<const N: usize> {
    algorithm: Algorithm,
    pairs: [Pair; N],
    len: usize,
}

/// With room for every pair that a call can have.
pub type Policy = PolicyOf<MAX_PAIRS>;

/// Why a policy cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A limit above [`MAX_LIMIT`].
    Limit,
    /// More pairs than there is room for.
    TooManyPairs,
    /// Two pairs with windows of one length.
    SameWindow,
    /// A burst of 0, or above [`MAX_LIMIT`].
    Burst,
    /// A burst with an algorithm that has none.
    BurstAlgorithm,
    /// A burst with several pairs.
    BurstPairs,
    /// A burst that takes more than 3660 days to refill.
    BurstRefill,
}

impl<const N: usize> PolicyOf<N> {
    /// A fixed window; [`Policy::and`] adds pairs, [`Policy::with_algorithm`] chooses another.
    #[inline(always)]
    pub fn new(limit: u64, window: Window) -> Result<Self, PolicyError> {
        let pair = Self::pair(limit, window)?;
        Ok(Self { algorithm: Algorithm::Fixed, pairs: [pair; N], len: 1 })
    }

    /// The same with one pair more.
    pub fn and(mut self, limit: u64, window: Window) -> Result<Self, PolicyError> {
        if self.is_full() {
            return Err(PolicyError::TooManyPairs);
        }
        if self.pairs().iter().any(|pair| pair.window == window) {
            return Err(PolicyError::SameWindow);
        }
        self.pairs[self.len] = Self::pair(limit, window)?;
        self.len += 1;
        Ok(self)
    }

    /// The same, decided by `algorithm`, with a bucket's capacity if one is given.
    #[inline(always)]
    pub fn with_algorithm(
        mut self,
        algorithm: Algorithm,
        burst: Option<u64>,
    ) -> Result<Self, PolicyError> {
        self.algorithm = algorithm;
        let Some(burst) = burst else { return Ok(self) };
        if !(1..=MAX_LIMIT).contains(&burst) {
            return Err(PolicyError::Burst);
        }
        if algorithm != Algorithm::Bucket {
            return Err(PolicyError::BurstAlgorithm);
        }
        if self.len != 1 {
            return Err(PolicyError::BurstPairs);
        }
        let Pair { limit, window, .. } = self.pairs[0];
        let refill = u128::from(burst) * u128::from(window.millis());
        if refill > u128::from(limit) * u128::from(MAX_REFILL_MS) {
            return Err(PolicyError::BurstRefill);
        }
        self.pairs[0].burst = burst;
        Ok(self)
    }

    fn pair(limit: u64, window: Window) -> Result<Pair, PolicyError> {
        if limit > MAX_LIMIT {
            return Err(PolicyError::Limit);
        }
        Ok(Pair { limit, window, burst: limit })
    }

    /// Whether it has all the pairs that it can have.
    pub(crate) fn is_full(&self) -> bool {
        self.len == N
    }

    /// The algorithm that decides.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The pairs in the order given, one to eight.
    #[inline(always)]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs[..self.len]
    }
}
