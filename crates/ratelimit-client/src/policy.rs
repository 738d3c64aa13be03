//! What is permitted: a plain value. A policy that exists is valid; a wrong constant does not
//! compile.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ratelimit_core::time::MAX_REFILL_MS;
use ratelimit_core::Call;

use crate::{Algorithm, ArgumentError, Pair, PolicyRule, Window, MAX_LIMIT};

/// Why a policy cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The duration of a window is outside 1 ms to 366 days, or not a whole number of milliseconds.
    Window,
    /// The numbers break one of the rules of the server.
    Rule(PolicyRule),
}

impl PolicyError {
    /// The rule that is broken. Where the server knows the rule, it is in the server's words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Window => "window must be whole milliseconds, between 1ms and 366d",
            Self::Rule(rule) => rule.text(),
        }
    }

    /// The argument that breaks the rule: `limit`, `window` or `burst`. `None` if there are too many
    /// pairs.
    pub const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Window => Some("window"),
            Self::Rule(rule) => rule.argument(),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for PolicyError {}

impl From<PolicyRule> for PolicyError {
    fn from(rule: PolicyRule) -> Self {
        Self::Rule(rule)
    }
}

/// Why a text is not a [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePolicyError(ArgumentError);

impl fmt::Display for ParsePolicyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            ArgumentError::Syntax => {
                "policy must be limit/window pairs, then fixed, sliding or bucket, then burst and \
                 a number, as in 100/1m or 10/1s bucket burst 20"
            }
            error => error.text(),
        })
    }
}

impl std::error::Error for ParsePolicyError {}

/// An algorithm with one to eight pairs of a limit and a window. A call passes only if every pair
/// allows it. A policy that exists is valid.
///
/// ```
/// use ratelimit_client::Policy;
/// use std::time::Duration;
///
/// const MINUTE: Duration = Duration::from_secs(60);
/// const HOUR: Duration = Duration::from_secs(3600);
/// const API: Policy = Policy::sliding(100, MINUTE).and(1_000, HOUR);
/// const UPLOADS: Policy = Policy::bucket(10, MINUTE).burst(20);
///
/// // Numbers from outside give an error instead of a panic.
/// let wrong = Policy::try_fixed(5, Duration::from_micros(1500));
/// assert_eq!(
///     wrong.unwrap_err().to_string(),
///     "window must be whole milliseconds, between 1ms and 366d"
/// );
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
///
/// # As text
///
/// ```text
/// policy    = pair *( " " pair ) [ " " algorithm ] [ " burst " number ]
/// pair      = limit "/" window          100/1m
/// window    = number [ unit ]           60, 500ms, 90s, 1m, 1h, 1d
/// algorithm = "fixed" / "sliding" / "bucket"
/// ```
///
/// A window without a unit is in seconds, an algorithm that is left out is `fixed`, and a burst
/// that is left out is the limit. Words may be in any case, and any white space may stand between
/// them. `Display` writes the same form, so that its text can be parsed again. With the feature
/// `serde` a policy is read from this text and written as this text.
///
/// ```
/// use ratelimit_client::Policy;
/// use std::time::Duration;
///
/// let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
/// let policy: Policy = "100/1m 1000/1h sliding".parse().unwrap();
/// assert_eq!(policy, Policy::sliding(100, minute).and(1000, 60 * minute));
/// assert_eq!(Policy::bucket(10, second).burst(20).to_string(), "10/1s bucket burst 20");
/// assert_eq!(
///     "5/0".parse::<Policy>().unwrap_err().to_string(),
///     "window must be an integer with an optional unit ms, s, m, h or d, between 1ms and 366d"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(ratelimit_core::Policy);

impl Policy {
    /// At most `limit` in each window. A window opens with the first call.
    ///
    /// # Panics
    /// If a number is out of bounds: see [`Policy::try_fixed`]. In a constant, that is a compile
    /// error.
    #[track_caller]
    #[must_use]
    pub const fn fixed(limit: u64, window: Duration) -> Self {
        valid(Self::try_fixed(limit, window))
    }

    /// At most `limit` in a window that slides along, by an estimate.
    ///
    /// # Panics
    /// If a number is out of bounds: see [`Policy::try_sliding`].
    #[track_caller]
    #[must_use]
    pub const fn sliding(limit: u64, window: Duration) -> Self {
        valid(Self::try_sliding(limit, window))
    }

    /// A bucket of `limit` tokens, refilled continuously at `limit` per window.
    ///
    /// # Panics
    /// If a number is out of bounds: see [`Policy::try_bucket`].
    #[track_caller]
    #[must_use]
    pub const fn bucket(limit: u64, window: Duration) -> Self {
        valid(Self::try_bucket(limit, window))
    }

    /// Adds a pair. A call passes only if every pair allows it; a denied call counts in none.
    ///
    /// # Panics
    /// If a number is out of bounds: see [`Policy::try_and`].
    #[track_caller]
    #[must_use]
    pub const fn and(self, limit: u64, window: Duration) -> Self {
        valid(self.try_and(limit, window))
    }

    /// Gives a bucket room for `burst` tokens instead of its limit.
    ///
    /// # Panics
    /// If the number is out of bounds: see [`Policy::try_burst`].
    #[track_caller]
    #[must_use]
    pub const fn burst(self, burst: u64) -> Self {
        valid(self.try_burst(burst))
    }

    /// A policy of any algorithm with one pair.
    ///
    /// # Errors
    /// If the limit is above 10^12, or the window is not whole milliseconds from 1 ms to 366 days.
    pub const fn new(
        algorithm: Algorithm,
        limit: u64,
        window: Duration,
    ) -> Result<Self, PolicyError> {
        let Some(window) = whole_millis(window) else { return Err(PolicyError::Window) };
        match ratelimit_core::Policy::new(limit, window) {
            Ok(policy) => Self::of_core(policy.with_algorithm(algorithm, None)),
            Err(error) => Err(PolicyError::Rule(error)),
        }
    }

    /// [`Policy::fixed`] for numbers that may be wrong.
    ///
    /// # Errors
    /// See [`Policy::new`].
    pub const fn try_fixed(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Fixed, limit, window)
    }

    /// [`Policy::sliding`] for numbers that may be wrong.
    ///
    /// # Errors
    /// See [`Policy::new`].
    pub const fn try_sliding(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Sliding, limit, window)
    }

    /// [`Policy::bucket`] for numbers that may be wrong.
    ///
    /// # Errors
    /// See [`Policy::new`].
    pub const fn try_bucket(limit: u64, window: Duration) -> Result<Self, PolicyError> {
        Self::new(Algorithm::Bucket, limit, window)
    }

    /// [`Policy::and`] for numbers that may be wrong.
    ///
    /// # Errors
    /// As [`Policy::new`]; and if there are eight pairs already, one of them has the same window,
    /// or the policy has a burst.
    pub const fn try_and(self, limit: u64, window: Duration) -> Result<Self, PolicyError> {
        let Some(window) = whole_millis(window) else { return Err(PolicyError::Window) };
        Self::of_core(self.0.and(limit, window))
    }

    /// [`Policy::burst`] for a number that may be wrong.
    ///
    /// # Errors
    /// If the burst is 0 or above 10^12, would take more than 3660 days to refill, or the policy is
    /// not a bucket of one pair.
    pub const fn try_burst(self, burst: u64) -> Result<Self, PolicyError> {
        Self::of_core(self.0.with_algorithm(self.0.algorithm(), Some(burst)))
    }

    const fn of_core(
        policy: Result<ratelimit_core::Policy, PolicyRule>,
    ) -> Result<Self, PolicyError> {
        match policy {
            Ok(policy) => Ok(Self(policy)),
            Err(error) => Err(PolicyError::Rule(error)),
        }
    }

    /// The algorithm that decides.
    pub const fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// The pairs, in the order given.
    pub const fn pairs(&self) -> &[Pair] {
        self.0.pairs()
    }

    /// The burst, if it is not the limit.
    pub(crate) fn own_burst(&self) -> Option<u64> {
        let first = self.pairs()[0];
        Some(first.burst).filter(|&burst| burst != first.limit)
    }

    pub(crate) const fn core(&self) -> ratelimit_core::Policy {
        self.0
    }

    /// The part of the policy that one of `instances` may allow by itself: every limit and burst
    /// divided by the number of instances, rounded down, but at least 1 (a limit of 0 stays 0).
    /// Limit 100 for 3 instances: 33 each.
    #[must_use]
    pub fn share(&self, instances: u32) -> Self {
        let part = |whole: u64| (whole / u64::from(instances.max(1))).max(whole.min(1));
        let pairs = self.pairs();
        let mut share = ratelimit_core::Policy::new(part(pairs[0].limit), pairs[0].window);
        for pair in &pairs[1..] {
            share = share.and_then(|share| share.and(part(pair.limit), pair.window));
        }
        let Pair { limit, window, .. } = pairs[0];
        let burst = self.own_burst().map(|burst| {
            // The limit was rounded down, so it may be too slow to refill the part of the burst.
            let refilled = u128::from(part(limit)) * u128::from(MAX_REFILL_MS);
            let max = refilled / u128::from(window.millis());
            part(burst).min(max.try_into().unwrap_or(MAX_LIMIT))
        });
        let share = share.and_then(|share| share.with_algorithm(self.algorithm(), burst));
        Self(share.expect("a part of a valid policy is valid"))
    }
}

/// Writes the text that [`Policy`] documents.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, pair) in self.pairs().iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}/{}", pair.limit, pair.window)?;
        }
        if self.algorithm() != Algorithm::Fixed {
            write!(f, " {}", self.algorithm().name().to_ascii_lowercase())?;
        }
        match self.own_burst() {
            Some(burst) => write!(f, " burst {burst}"),
            None => Ok(()),
        }
    }
}

/// Reads the text that [`Policy`] documents.
impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        let words = command_words(text).ok_or(ParsePolicyError(ArgumentError::Syntax))?;
        let call = Call::parse(words.into_iter().map(str::as_bytes)).map_err(ParsePolicyError)?;
        Ok(Self(call.policy))
    }
}

/// The words that the command would have for this policy. `None` if a word has no place in the
/// text.
fn command_words(text: &str) -> Option<Vec<&str>> {
    let mut words = text.split_ascii_whitespace().peekable();
    let mut command = Vec::new();
    while let Some((limit, window)) = words.peek().and_then(|word| word.split_once('/')) {
        command.extend([limit, window]);
        words.next();
    }
    let has_pairs = !command.is_empty();
    if let Some(name) = words.next_if(|word| Algorithm::from_name(word.as_bytes()).is_some()) {
        command.extend(["ALGORITHM", name]);
    }
    if let Some(keyword) = words.next_if(|word| word.eq_ignore_ascii_case("burst")) {
        command.extend([keyword, words.next()?]);
    }
    (has_pairs && words.next().is_none()).then_some(command)
}

#[cfg(feature = "serde")]
impl serde_core::Serialize for Policy {
    fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde_core::Deserialize<'de> for Policy {
    fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde_core::de::Visitor<'_> for Text {
            type Value = Policy;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a policy as text, such as 100/1m")
            }

            fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<Policy, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The policy of a constant function, where `expect` is not available.
#[track_caller]
const fn valid(policy: Result<Policy, PolicyError>) -> Policy {
    match policy {
        Ok(policy) => policy,
        Err(error) => panic!("{}", error.text()),
    }
}

const fn whole_millis(window: Duration) -> Option<Window> {
    if !window.subsec_nanos().is_multiple_of(1_000_000) {
        return None;
    }
    let Some(seconds_ms) = window.as_secs().checked_mul(1000) else { return None };
    Window::from_millis(seconds_ms.saturating_add(window.subsec_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rule(rule: PolicyRule) -> Option<PolicyError> {
        Some(PolicyError::Rule(rule))
    }

    #[test]
    fn a_policy_out_of_bounds_does_not_exist() {
        let second = Duration::from_secs(1);
        let most = Policy::fixed(MAX_LIMIT, Duration::from_secs(366 * 86_400));
        let seconds = |n| Duration::from_secs(n);
        let eight = (2..9).fold(Policy::fixed(1, second), |policy, n| policy.and(1, seconds(n)));
        let cases = [
            (Policy::try_fixed(MAX_LIMIT + 1, MINUTE), rule(PolicyRule::Limit)),
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
            (most.try_and(MAX_LIMIT + 1, MINUTE), rule(PolicyRule::Limit)),
            (Policy::fixed(1, MINUTE).try_and(2, MINUTE), rule(PolicyRule::SameWindow)),
            (eight.try_and(1, MINUTE), rule(PolicyRule::TooManyPairs)),
            (Policy::fixed(1, MINUTE).try_burst(2), rule(PolicyRule::BurstAlgorithm)),
            (Policy::bucket(1, MINUTE).try_burst(0), rule(PolicyRule::Burst)),
            (Policy::bucket(0, MINUTE).try_burst(1), rule(PolicyRule::BurstRefill)),
            (Policy::bucket(1, MINUTE).and(2, second).try_burst(3), rule(PolicyRule::BurstPairs)),
            (Policy::bucket(1, MINUTE).burst(3).try_and(2, second), rule(PolicyRule::BurstPairs)),
        ];
        for (i, (policy, expected)) in cases.into_iter().enumerate() {
            assert_eq!(policy.err(), expected, "case {i}");
        }
    }

    #[test]
    fn a_policy_is_read_from_text_and_written_as_text() {
        let second = Duration::from_secs(1);
        let cases = [
            (Policy::fixed(100, MINUTE), "100/1m"),
            (Policy::fixed(0, Duration::from_millis(1500)), "0/1500ms"),
            (Policy::sliding(10, 90 * second), "10/90s sliding"),
            (Policy::fixed(3, MINUTE).and(100, 86_400 * second), "3/1m 100/1d"),
            (Policy::bucket(10, second), "10/1s bucket"),
            (Policy::bucket(10, second).burst(20), "10/1s bucket burst 20"),
        ];
        for (policy, text) in cases {
            assert_eq!(policy.to_string(), text);
            assert_eq!(text.parse(), Ok(policy));
        }
        let same = [
            ("100/60", "100/1m"),
            (" 100/60s\t1/1h  Sliding ", "100/1m 1/1h sliding"),
            ("5/1s fixed", "5/1s"),
            ("5/1s BUCKET BURST 5", "5/1s bucket"),
        ];
        for (text, canonical) in same {
            assert_eq!(
                text.parse::<Policy>().map(|policy| policy.to_string()),
                Ok(canonical.into())
            );
        }
    }

    #[test]
    fn a_wrong_text_is_an_error_that_names_the_rule() {
        let form = "policy must be limit/window pairs";
        let cases = [
            ("", "policy must be"),
            ("100", form),
            ("sliding", form),
            ("100/1m leaky", form),
            ("100/1m bucket bucket", form),
            ("100/1m burst", form),
            ("10/1s burst 20 bucket", form),
            ("100/1m cost 5", form),
            ("100/1m, 5/1s", "window must be an integer"),
            ("100/", "window must be an integer"),
            ("100/1w", "window must be an integer"),
            ("100/1/1", "window must be an integer"),
            ("100/s", "window must be an integer"),
            ("/1m", "limit must be an integer"),
            ("-1/1m", "limit must be an integer"),
            ("0100/1m", "limit must be an integer"),
            ("1000000000001/1m", "limit must be an integer"),
            ("1/1s 2/1000ms", "windows must all be different"),
            ("1/1s burst 2", "burst requires ALGORITHM BUCKET"),
            ("1/1s bucket burst 0", "burst must be an integer"),
            ("1/1s 2/2s bucket burst 3", "burst requires a single"),
            ("0/1s bucket burst 3", "burst must refill"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Policy>().expect_err(text).to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    #[cfg(feature = "serde")]
    fn serde_reads_and_writes_the_text() {
        let policy = Policy::bucket(10, MINUTE).burst(20);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(json, r#""10/1m bucket burst 20""#);
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        let error = serde_json::from_str::<Policy>("\"1/1w\"").unwrap_err().to_string();
        assert!(error.starts_with("window must be"), "{error}");
        let error = serde_json::from_str::<Policy>("5").unwrap_err().to_string();
        assert!(error.contains("expected a policy as text"), "{error}");
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
        // Half of 3 is 1, which refills no more than 10 in ten of the longest windows; half of 30
        // is 15.
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
