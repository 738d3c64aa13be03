//! What is permitted: an algorithm and up to eight limit/window pairs. A [`Policy`] that exists
//! is valid, nothing re-checks it.

use core::fmt;

use crate::decimal::leading_number;
use crate::time::{MAX_REFILL_MS, MAX_WINDOW_MS};

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
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis == 0 || millis > MAX_WINDOW_MS {
            return None;
        }
        Some(Self(millis))
    }

    /// `None` outside the bounds, or where it is no whole number of milliseconds.
    pub fn from_micros(micros: u64) -> Option<Self> {
        micros.is_multiple_of(1000).then_some(())?;
        Self::from_millis(micros / 1000)
    }

    /// An integer with an optional unit, as the command has it: `60`, `500ms`, `1h`. Without a unit
    /// it is in seconds. `None`: anything else, or a length outside the bounds.
    #[inline(always)]
    pub fn parse(word: &[u8]) -> Option<Self> {
        let (number, unit) = leading_number(word)?;
        let millis = match unit {
            b"ms" => 1,
            b"" | b"s" => 1_000,
            b"m" => 60_000,
            b"h" => 3_600_000,
            b"d" => 86_400_000,
            _ => return None,
        };
        Self::from_millis(number.checked_mul(millis)?)
    }

    /// The length in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The length in microseconds, at most 2^45.
    pub const fn micros(self) -> u64 {
        self.0 * 1000
    }
}

/// In its largest unit, as [`Window::parse`] reads it: `500ms`, `90s`, `1h`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let divides = |unit: &&(u64, _)| self.0.is_multiple_of(unit.0);
        let (millis, name) = units.iter().find(divides).unwrap_or(&(1, "ms"));
        write!(f, "{}{name}", self.0 / millis)
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

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A word, not a byte: ARCHITECTURE.md says why.
#[repr(u64)]
pub enum Algorithm {
    /// A counter per window: [`crate::fixed_window`].
    Fixed,
    /// Two weighted windows: [`crate::sliding_window`].
    Sliding,
    /// A bucket that refills continuously: [`crate::token_bucket`].
    Bucket,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: &'static [Self] = &[Self::Fixed, Self::Sliding, Self::Bucket];

    /// The name that the command has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "FIXED",
            Self::Sliding => "SLIDING",
            Self::Bucket => "BUCKET",
        }
    }

    /// In any case. Nearly all write it in capitals, and the first comparison is quick.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let has_name = |algorithm: &Self| {
            let own = algorithm.name().as_bytes();
            name == own || name.eq_ignore_ascii_case(own)
        };
        Self::ALL.iter().copied().find(has_name)
    }
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
// A word, not a byte: ARCHITECTURE.md says why.
#[repr(u64)]
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

impl PolicyError {
    /// Every error.
    pub const ALL: &'static [Self] = &[
        Self::Limit,
        Self::TooManyPairs,
        Self::SameWindow,
        Self::Burst,
        Self::BurstAlgorithm,
        Self::BurstPairs,
        Self::BurstRefill,
    ];

    /// The rule that is broken, as one sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Limit => "limit must be an integer between 0 and 1000000000000",
            Self::TooManyPairs => "limit and window pairs must be at most 8",
            Self::SameWindow => "windows must all be different",
            Self::Burst => "burst must be an integer between 1 and 1000000000000",
            Self::BurstAlgorithm => "burst requires ALGORITHM BUCKET",
            Self::BurstPairs => "burst requires a single limit and window pair",
            Self::BurstRefill => {
                "burst must refill within 3660d: burst x window must be at most limit x 3660d"
            }
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for PolicyError {}

/// Constant functions, so that a policy can be a constant and a wrong one fails to compile.
impl<const N: usize> PolicyOf<N> {
    /// A fixed window; [`Policy::and`] adds pairs, [`Policy::with_algorithm`] chooses another.
    ///
    /// # Errors
    /// The limit is above [`MAX_LIMIT`].
    #[inline(always)]
    pub const fn new(limit: u64, window: Window) -> Result<Self, PolicyError> {
        if limit > MAX_LIMIT {
            return Err(PolicyError::Limit);
        }
        let pair = Pair { limit, window, burst: limit };
        Ok(Self { algorithm: Algorithm::Fixed, pairs: [pair; N], len: 1 })
    }

    /// The same with one pair more.
    ///
    /// # Errors
    /// There is no room for a pair, the policy has a burst, two windows are the same, or the limit
    /// is above [`MAX_LIMIT`].
    pub const fn and(mut self, limit: u64, window: Window) -> Result<Self, PolicyError> {
        if self.is_full() {
            return Err(PolicyError::TooManyPairs);
        }
        if self.pairs[0].burst != self.pairs[0].limit {
            return Err(PolicyError::BurstPairs);
        }
        let mut i = 0;
        while i < self.len {
            if self.pairs[i].window.0 == window.0 {
                return Err(PolicyError::SameWindow);
            }
            i += 1;
        }
        if limit > MAX_LIMIT {
            return Err(PolicyError::Limit);
        }
        self.pairs[self.len] = Pair { limit, window, burst: limit };
        self.len += 1;
        Ok(self)
    }

    /// The same, decided by `algorithm`, with a bucket's capacity if one is given; one that was
    /// given before is dropped.
    ///
    /// # Errors
    /// A burst that is out of bounds or not allowed here, or a bucket that refills too slowly.
    #[inline(always)]
    pub const fn with_algorithm(
        mut self,
        algorithm: Algorithm,
        burst: Option<u64>,
    ) -> Result<Self, PolicyError> {
        self.algorithm = algorithm;
        self.pairs[0].burst = self.pairs[0].limit;
        let Some(burst) = burst else { return Ok(self) };
        if burst == 0 || burst > MAX_LIMIT {
            return Err(PolicyError::Burst);
        }
        if !matches!(algorithm, Algorithm::Bucket) {
            return Err(PolicyError::BurstAlgorithm);
        }
        if self.len != 1 {
            return Err(PolicyError::BurstPairs);
        }
        let Pair { limit, window, .. } = self.pairs[0];
        let refill = burst as u128 * window.millis() as u128;
        if refill > limit as u128 * MAX_REFILL_MS as u128 {
            return Err(PolicyError::BurstRefill);
        }
        self.pairs[0].burst = burst;
        Ok(self)
    }

    /// Whether it has all the pairs that it can have.
    pub(crate) const fn is_full(&self) -> bool {
        self.len == N
    }

    /// One where there is room for one: the compiler then sees that no index is out of bounds.
    #[inline(always)]
    const fn len(&self) -> usize {
        if N == 1 {
            1
        } else {
            self.len
        }
    }

    /// The algorithm that decides.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The pairs in the order given, one to eight.
    #[inline(always)]
    pub const fn pairs(&self) -> &[Pair] {
        self.pairs.split_at(self.len()).0
    }
}

/// A valid call: what is permitted, and what this call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOf<const N: usize> {
    /// What is permitted.
    pub policy: PolicyOf<N>,
    /// From 1 to [`MAX_LIMIT`]. It may be above the limit: then the call can never pass.
    pub cost: u64,
}

/// With room for every pair that a call can have.
pub type Call = CallOf<MAX_PAIRS>;
