//! Growing pauses between attempts, so that a server which comes back is not met by a storm.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The pause after so many failures in a row: none at first, then between a half and the whole of
/// 50 ms, 100 ms, and so on up to a second, as `jitter` from 0 to 1 says.
pub(super) fn pause(failures: u32, jitter: f64) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doublings = (failures - 1).min(10);
    let longest = (MIN_PAUSE * (1 << doublings)).min(MAX_PAUSE);
    longest / 2 + longest.mul_f64(jitter / 2.0)
}

/// A number from 0 to 1, by the only way to random numbers that the standard library offers.
pub(super) fn random_fraction() -> f64 {
    let random = RandomState::new().hash_one(0) >> 32;
    random as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        assert_eq!(pause(0, 1.0), Duration::ZERO);
        for (failures, longest_ms) in [(1, 50), (2, 100), (5, 800), (6, 1_000), (u32::MAX, 1_000)] {
            let longest = Duration::from_millis(longest_ms);
            assert_eq!((pause(failures, 0.0), pause(failures, 1.0)), (longest / 2, longest));
        }
    }

    #[test]
    fn random_fractions_differ() {
        let fractions: Vec<_> = (0..50).map(|_| random_fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        assert!(fractions.iter().any(|fraction| *fraction != fractions[0]));
    }
}
