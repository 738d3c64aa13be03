//! What is permitted: a plain value, and if it is a constant, one that is checked when it compiles.

use std::fmt;
use std::time::Duration;

use ratelimit_core::policy::MAX_LIMIT;
use ratelimit_core::time::MAX_REFILL_MS;
use ratelimit_core::{Algorithm, Pair, Window};

/// Why a policy cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A limit above 10^12.
    Limit,
    /// A window outside 1 ms to 366 days, or no whole number of milliseconds.
    Window,
    /// More than eight windows.
    TooManyWindows,
    /// Two windows of one length.
    SameWindow,
    /// A burst of 0, or above 10^12.
    Burst,
    /// A burst that does not belong to a bucket.
    BurstAlgorithm,
    /// A burst with several windows.
    BurstWindows,
    /// A burst that takes more than 3660 days to refill.
    BurstRefill,
}

impl PolicyError {
    /// The rule that was broken, in the words of the server.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Limit => "limit must be an integer between 0 and 1000000000000",
            Self::Window => "window must be whole milliseconds, between 1ms and 366d",
            Self::TooManyWindows => "limit and window pairs must be at most 8",
            Self::SameWindow => "windows must all be different",
            Self::Burst => "burst must be an integer between 1 and 1000000000000",
            Self::BurstAlgorithm => "burst requires ALGORITHM BUCKET",
            Self::BurstWindows => "burst requires a single limit and window pair",
            Self::BurstRefill => {
                "burst must refill within 3660d: burst x window must be at most limit x 3660d"
            }
        }
    }

    const fn from_core(error: ratelimit_core::policy::PolicyError) -> Self {
        use ratelimit_core::policy::PolicyError as Core;
        match error {
            Core::Limit => Self::Limit,
            Core::TooManyPairs => Self::TooManyWindows,
            Core::SameWindow => Self::SameWindow,
            Core::Burst => Self::Burst,
            Core::BurstAlgorithm => Self::BurstAlgorithm,
            Core::BurstPairs => Self::BurstWindows,
            Core::BurstRefill => Self::BurstRefill,
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for PolicyError {}

/// An algorithm with one to eight limits, each in a window of its own; all must allow. A policy
/// that exists is valid.
///
/// ```
/// use ratelimit_client::Policy;
/// use std::time::Duration;
///
/// const API: Policy = Policy::sliding(100, Duration::from_secs(60)).and(1_000, Duration::from_secs(3600));
/// const UPLOADS: Policy = Policy::bucket(10, Duration::from_secs(60)).burst(20);
///
/// // From numbers that come from outside: an error instead of a panic.
/// let wrong = Policy::try_fixed(5, Duration::from_micros(1500));
/// assert_eq!(wrong.unwrap_err().to_string(), "window must be whole milliseconds, between 1ms and 366d");
/// ```
///
/// A wrong constant does not compile:
///
/// ```compile_fail
/// # use ratelimit_client::Policy;
/// # use std::time::Duration;
/// const NONE: Policy = Policy::fixed(100, Duration::ZERO);
/// # let _ = NONE;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(ratelimit_core::Policy);

impl Policy {
    /// At most `limit` in each window; a window opens with the first call.
    ///
    /// # Panics
    /// If it is out of bounds: see [`Policy::try_fixed`]. In a constant that is an error of compilation.
    #[track_caller]
    pub const fn fixed(limit: u64, window: Duration) -> Self {
        valid(Self::try_fixed(limit, window))
    }

    /// At most `limit` in a window that slides along, by an estimate.
    ///
    /// # Panics
    /// If it is out of bounds: see [`Policy::try_sliding`].
    #[track_caller]
    pub const fn sliding(limit: u64, window: Duration) -> Self {
        valid(Self::try_sliding(limit, window))
    }

    /// A bucket of `limit` tokens, refilled continuously at `limit` per window.
    ///
    /// # Panics
    /// If it is out of bounds: see [`Policy::try_bucket`].
    #[track_caller]
    pub const fn bucket(limit: u64, window: Duration) -> Self {
        valid(Self::try_bucket(limit, window))
    }

    /// The same with a further window; all must allow, or none counts.
    ///
    /// # Panics
    /// If it is out of bounds: see [`Policy::try_and`].
    #[track_caller]
    pub const fn and(self, limit: u64, window: Duration) -> Self {
        valid(self.try_and(limit, window))
    }

    /// The same bucket with room for `burst` tokens instead of its limit.
    ///
    /// # Panics
    /// If it is out of bounds: see [`Policy::try_burst`].
    #[track_caller]
    pub const fn burst(self, burst: u64) -> Self {
        valid(self.try_burst(burst))
    }

    /// [`Policy::fixed`] of numbers that may be wrong.
    pub const fn try_fixed(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Fixed, limit, window)
    }

    /// [`Policy::sliding`] of numbers that may be wrong.
    pub const fn try_sliding(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Sliding, limit, window)
    }

    /// [`Policy::bucket`] of numbers that may be wrong.
    pub const fn try_bucket(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Bucket, limit, window)
    }

    /// [`Policy::and`] of numbers that may be wrong.
    pub const fn try_and(self, limit: u64, window: Duration) -> Result<Self, PolicyError> {
        let Some(window) = whole_millis(window) else { return Err(PolicyError::Window) };
        Self::from_core(self.0.and(limit, window))
    }

    /// [`Policy::burst`] of a number that may be wrong.
    pub const fn try_burst(self, burst: u64) -> Result<Self, PolicyError> {
        Self::from_core(self.0.with_algorithm(self.0.algorithm(), Some(burst)))
    }

    const fn new(algorithm: Algorithm, limit: u64, window: Duration) -> Result<Self, PolicyError> {
        let Some(window) = whole_millis(window) else { return Err(PolicyError::Window) };
        match ratelimit_core::Policy::new(limit, window) {
            Ok(policy) => Self::from_core(policy.with_algorithm(algorithm, None)),
            Err(error) => Err(PolicyError::from_core(error)),
        }
    }

    const fn from_core(
        policy: Result<ratelimit_core::Policy, ratelimit_core::policy::PolicyError>,
    ) -> Result<Self, PolicyError> {
        match policy {
            Ok(policy) => Ok(Self(policy)),
            Err(error) => Err(PolicyError::from_core(error)),
        }
    }

    /// How it is decided.
    pub const fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// Limits and windows, in the order given.
    pub const fn windows(&self) -> &[Pair] {
        self.0.pairs()
    }

    pub(crate) const fn core(&self) -> ratelimit_core::Policy {
        self.0
    }

    /// What one of `instances` may let pass alone: of every limit and burst the n-th part, rounded
    /// down, but not below 1 (a limit of 0 stays 0). Limit 100 for 3 instances: 33 each.
    pub fn share(&self, instances: u32) -> Self {
        let part = |whole: u64| (whole / u64::from(instances.max(1))).max(whole.min(1));
        let pairs = self.windows();
        let mut share = ratelimit_core::Policy::new(part(pairs[0].limit), pairs[0].window);
        for pair in &pairs[1..] {
            share = share.and_then(|share| share.and(part(pair.limit), pair.window));
        }
        let Pair { limit, window, burst } = pairs[0];
        let burst = (burst != limit).then(|| {
            // Rounding the limit down may leave it too slow to refill the burst's part.
            let refilled = u128::from(part(limit)) * u128::from(MAX_REFILL_MS);
            let most = (refilled / u128::from(window.millis())).min(u128::from(MAX_LIMIT)) as u64;
            part(burst).min(most)
        });
        let share = share.and_then(|share| share.with_algorithm(self.algorithm(), burst));
        Self(share.expect("a part of a valid policy is valid"))
    }
}

/// The result of a const function; `expect` is not one.
#[track_caller]
const fn valid(policy: Result<Policy, PolicyError>) -> Policy {
    match policy {
        Ok(policy) => policy,
        Err(error) => panic!("{}", error.rule()),
    }
}

const fn whole_millis(window: Duration) -> Option<Window> {
    if !window.subsec_nanos().is_multiple_of(1_000_000) || window.as_millis() > u64::MAX as u128 {
        return None;
    }
    Window::from_millis(window.as_millis() as u64)
}
