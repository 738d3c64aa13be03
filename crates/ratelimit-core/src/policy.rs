//! The limits of a call: an algorithm and up to eight pairs of a limit and its window. A [`Policy`]
//! that exists is valid; nothing checks it again.

use core::fmt;

use crate::decimal::leading_number;
use crate::time::{MAX_REFILL_MS, MAX_WINDOW_MS};

/// The largest limit, burst and cost. Its product with the longest refill in microseconds (2^49) is
/// below 2^90, so the algorithms have 38 bits to spare in their 128.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;

/// The largest number of pairs in one call.
pub const MAX_PAIRS: usize = 8;

/// The length of a window, from 1 ms to 366 days in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(u64);

impl Window {
    /// `None` if the length is out of bounds.
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis == 0 || millis > MAX_WINDOW_MS {
            return None;
        }
        Some(Self(millis))
    }

    /// `None` if the length is out of bounds, or not a whole number of milliseconds.
    pub fn from_micros(micros: u64) -> Option<Self> {
        micros.is_multiple_of(1000).then_some(())?;
        Self::from_millis(micros / 1000)
    }

    /// Reads an integer with an optional unit, as the command has it: `60`, `500ms`, `1h`. Without
    /// a unit, it is in seconds. `None` for any other word, and for a length out of bounds.
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
    /// The length of the window.
    pub window: Window,
    /// The most that can pass at once: the limit, unless a bucket has a burst of its own.
    pub burst: u64,
}

/// How a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A field of one byte would share a register with its neighbour in a `Result`. A whole word keeps
// both in registers (measured).
#[repr(u64)]
#[non_exhaustive]
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

    /// The name in a command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "FIXED",
            Self::Sliding => "SLIDING",
            Self::Bucket => "BUCKET",
        }
    }

    /// Upper and lower case are the same. Nearly every caller writes capitals, so the exact
    /// comparison, which is fast, comes first.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let has_name = |algorithm: &Self| {
            let own = algorithm.name().as_bytes();
            name == own || name.eq_ignore_ascii_case(own)
        };
        Self::ALL.iter().copied().find(has_name)
    }
}

/// An algorithm that is missing in [`Algorithm::ALL`] does not compile. Tests could not notice it,
/// because they try each algorithm of that list.
const _: () = {
    let (mut fixed, mut sliding, mut bucket) = (false, false, false);
    let mut i = 0;
    while i < Algorithm::ALL.len() {
        match Algorithm::ALL[i] {
            Algorithm::Fixed => fixed = true,
            Algorithm::Sliding => sliding = true,
            Algorithm::Bucket => bucket = true,
        }
        i += 1;
    }
    assert!(fixed && sliding && bucket, "Algorithm::ALL lacks an algorithm");
};

/// An algorithm with its pairs, and room for `N` of them. Nearly every call has one pair; room for
/// eight would cost such a call more than its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyOf<const N: usize> {
    algorithm: Algorithm,
    pairs: [Pair; N],
    len: usize,
}

/// With room for [`MAX_PAIRS`] pairs.
pub type Policy = PolicyOf<MAX_PAIRS>;

/// Why a policy is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// An error of one byte would share a register with the value beside it in a `Result`. A whole word
// keeps both in registers (measured).
#[repr(u64)]
#[non_exhaustive]
pub enum PolicyError {
    /// A limit is above [`MAX_LIMIT`].
    Limit,
    /// There are more pairs than there is room for.
    TooManyPairs,
    /// Two pairs have the same window.
    SameWindow,
    /// The burst is 0, or above [`MAX_LIMIT`].
    Burst,
    /// The algorithm has no burst.
    BurstAlgorithm,
    /// There are a burst and several pairs.
    BurstPairs,
    /// The burst takes more than 3660 days to refill.
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

    /// The broken rule, as one sentence.
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

    /// The argument that breaks the rule: `limit`, `window` or `burst`. `None` if there are too many
    /// pairs.
    pub const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Limit => Some("limit"),
            Self::SameWindow => Some("window"),
            Self::TooManyPairs => None,
            Self::Burst | Self::BurstAlgorithm | Self::BurstPairs | Self::BurstRefill => {
                Some("burst")
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

/// The functions are `const`, so that a policy can be a constant, and a wrong constant does not
/// compile.
impl<const N: usize> PolicyOf<N> {
    /// One pair, counted by FIXED. [`Policy::and`] adds pairs; [`Policy::with_algorithm`] chooses
    /// another algorithm.
    ///
    /// # Errors
    /// If the limit is too large.
    #[inline(always)]
    pub const fn new(limit: u64, window: Window) -> Result<Self, PolicyError> {
        if limit > MAX_LIMIT {
            return Err(PolicyError::Limit);
        }
        let pair = Pair { limit, window, burst: limit };
        Ok(Self { algorithm: Algorithm::Fixed, pairs: [pair; N], len: 1 })
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// If there is no room for the pair, the policy has a burst, the window is there already, or
    /// the limit is too large.
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

    /// Sets the algorithm, and the burst of a bucket if one is given. An earlier burst is dropped.
    ///
    /// # Errors
    /// If the burst is out of bounds, or does not go with the algorithm or the pairs.
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

    /// Whether there is no room for another pair.
    pub(crate) const fn is_full(&self) -> bool {
        self.len == N
    }

    /// The number of pairs. If there is room for only one, the constant 1 shows the compiler that
    /// no index is out of bounds.
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

/// A valid call: its policy and its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOf<const N: usize> {
    /// The limits.
    pub policy: PolicyOf<N>,
    /// From 1 to [`MAX_LIMIT`]. If it is above the most that can pass at once, the call is never
    /// allowed.
    pub cost: u64,
}

/// With room for [`MAX_PAIRS`] pairs.
pub type Call = CallOf<MAX_PAIRS>;
