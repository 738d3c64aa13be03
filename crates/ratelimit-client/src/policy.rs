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
    pub const fn pairs(&self) -> &[Pair] {
        self.0.pairs()
    }

    /// The burst, if it is not the limit.
    pub(crate) fn own_burst(&self) -> Option<u64> {
        let first = self.pairs()[0];
        Some(first.burst).filter(|&burst| burst != first.limit)
    }

    /// The name of the algorithm in lower case.
    pub(crate) fn algorithm_name(&self) -> &'static str {
        match self.algorithm() {
            Algorithm::Fixed => "fixed",
            Algorithm::Sliding => "sliding",
            Algorithm::Bucket => "bucket",
        }
    }

    pub(crate) const fn core(&self) -> ratelimit_core::Policy {
        self.0
    }

    /// What one of `instances` may let pass alone: of every limit and burst the n-th part, rounded
    /// down, but not below 1 (a limit of 0 stays 0). Limit 100 for 3 instances: 33 each.
    pub fn share(&self, instances: u32) -> Self {
        let part = |whole: u64| (whole / u64::from(instances.max(1))).max(whole.min(1));
        let pairs = self.pairs();
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

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_rules_are_told_in_the_words_of_the_server() {
        let cases = [
            (PolicyError::Limit, "Limit"),
            (PolicyError::TooManyWindows, "TooManyPairs"),
            (PolicyError::SameWindow, "SameWindow"),
            (PolicyError::Burst, "Burst"),
            (PolicyError::BurstAlgorithm, "BurstAlgorithm"),
            (PolicyError::BurstWindows, "BurstPairs"),
            (PolicyError::BurstRefill, "BurstRefill"),
        ];
        for (error, name) in cases {
            assert_eq!(format!("ERR {error}"), ratelimit_harness::error_text(name));
        }
    }

    #[test]
    fn a_policy_out_of_bounds_does_not_exist() {
        let second = Duration::from_secs(1);
        let most = Policy::fixed(MAX_LIMIT, Duration::from_secs(366 * 86_400));
        let seconds = |n| Duration::from_secs(n);
        let eight = (2..9).fold(Policy::fixed(1, second), |policy, n| policy.and(1, seconds(n)));
        let cases = [
            (Policy::try_fixed(MAX_LIMIT + 1, MINUTE), Some(PolicyError::Limit)),
            (Policy::try_fixed(1, Duration::ZERO), Some(PolicyError::Window)),
            (Policy::try_sliding(1, Duration::from_micros(999)), Some(PolicyError::Window)),
            (Policy::try_sliding(1, Duration::from_micros(1_500)), Some(PolicyError::Window)),
            (Policy::try_bucket(1, Duration::from_millis(1)), None),
            (
                Policy::try_fixed(1, Duration::from_secs(366 * 86_400 + 1)),
                Some(PolicyError::Window),
            ),
            (Policy::try_fixed(1, Duration::MAX), Some(PolicyError::Window)),
            (most.try_and(1, MINUTE), None),
            (most.try_and(MAX_LIMIT + 1, MINUTE), Some(PolicyError::Limit)),
            (Policy::fixed(1, MINUTE).try_and(2, MINUTE), Some(PolicyError::SameWindow)),
            (eight.try_and(1, MINUTE), Some(PolicyError::TooManyWindows)),
            (Policy::fixed(1, MINUTE).try_burst(2), Some(PolicyError::BurstAlgorithm)),
            (Policy::bucket(1, MINUTE).try_burst(0), Some(PolicyError::Burst)),
            (Policy::bucket(0, MINUTE).try_burst(1), Some(PolicyError::BurstRefill)),
            (
                Policy::bucket(1, MINUTE).and(2, second).try_burst(3),
                Some(PolicyError::BurstWindows),
            ),
            (
                Policy::bucket(1, MINUTE).burst(3).try_and(2, second),
                Some(PolicyError::BurstWindows),
            ),
        ];
        for (i, (policy, expected)) in cases.into_iter().enumerate() {
            assert_eq!(policy.err(), expected, "case {i}");
        }
    }

    /// Limits and bursts.
    fn numbers(policy: Policy) -> Vec<(u64, u64)> {
        policy.pairs().iter().map(|pair| (pair.limit, pair.burst)).collect()
    }

    #[test]
    fn a_share_is_the_nth_part_and_not_below_one() {
        let cases = [
            (Policy::fixed(100, MINUTE), 3, vec![(33, 33)]),
            (Policy::fixed(100, MINUTE), 0, vec![(100, 100)]),
            (Policy::fixed(2, MINUTE), 3, vec![(1, 1)]),
            (Policy::fixed(0, MINUTE), 3, vec![(0, 0)]),
            (Policy::sliding(9, MINUTE).and(100, 60 * MINUTE), 10, vec![(1, 1), (10, 10)]),
            (Policy::bucket(10, MINUTE).burst(20), 4, vec![(2, 5)]),
            (Policy::bucket(10, MINUTE).burst(1), 4, vec![(2, 1)]),
            (Policy::fixed(u64::from(u32::MAX), MINUTE), u32::MAX, vec![(1, 1)]),
        ];
        for (policy, instances, expected) in cases {
            let share = policy.share(instances);
            assert_eq!(numbers(share), expected, "{policy:?} of {instances}");
            assert_eq!(share.algorithm(), policy.algorithm());
        }
    }

    #[test]
    fn the_share_of_a_burst_refills_within_the_bounds() {
        // Half of 3 is 1, which refills no more than 10 in ten of the longest windows; half of 30 is 15.
        let year = Duration::from_secs(366 * 86_400);
        for limit in [1, 2, 3, 19] {
            for burst in [1, 5, 10, 10 * limit] {
                let share = Policy::bucket(limit, year).burst(burst).share(2);
                let (share_limit, share_burst) = numbers(share)[0];
                assert!(share_limit >= 1 && (1..=burst).contains(&share_burst), "{share:?}");
            }
        }
        assert_eq!(numbers(Policy::bucket(3, year).burst(30).share(2)), [(1, 10)]);
    }
}
