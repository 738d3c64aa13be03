//! How a policy is made, in any order of its parts.

use ratelimit_core::{check, Algorithm, Call, Now, Policy, Window};

const MINUTE: Option<Window> = Window::from_millis(60_000);

/// Only a bucket has a burst, so a policy that changes its algorithm loses it.
#[test]
fn another_algorithm_chosen_later_drops_the_burst() {
    let bucket = Policy::new(10, MINUTE.unwrap()).unwrap();
    let bucket = bucket.with_algorithm(Algorithm::Bucket, Some(20)).unwrap();
    assert_eq!(bucket.pairs()[0].burst, 20);
    for &algorithm in Algorithm::ALL {
        let policy = bucket.with_algorithm(algorithm, None).unwrap();
        assert_eq!(policy.pairs()[0].burst, 10, "{algorithm:?}");
        assert!(policy.and(5, Window::from_millis(1_000).unwrap()).is_ok());
        let call = Call { policy, cost: 11 };
        let (outcome, _) = check(&call, None, Now::from_micros(0).unwrap()).unwrap();
        assert_eq!(outcome.binding().limit, 10);
        assert!(!outcome.allowed(), "{algorithm:?}");
    }
}
