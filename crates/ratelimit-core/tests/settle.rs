//! A call on several keys: all keys are decided before any of them is written.

use ratelimit_core::{settle, Algorithm, Call, Now, Settled, Stored};

/// The stored string and its expiry.
type Key = Option<(Vec<u8>, u64)>;

fn now() -> Now {
    Now::from_micros(1_700_000_000_000_000).expect("a moment in 2023")
}

/// If every key allows the call, every key counts it. If one key denies it, no key does.
fn check_all(call: &Call, keys: &mut [Key]) -> bool {
    let settle_one = |key: &Key| {
        let stored = key.as_ref().map(|(value, end)| Stored { value, expiry_ms: Some(*end) });
        settle(call, stored, now()).expect("a state of the call's algorithm")
    };
    let settled: Vec<_> = keys.iter().map(settle_one).collect();
    if !settled.iter().all(Settled::allowed) {
        return false;
    }
    for (key, settled) in keys.iter_mut().zip(settled) {
        let (_, next) = settled.consume();
        *key = Some((next.value().to_vec(), next.expiry_ms));
    }
    true
}

#[test]
fn a_call_on_two_keys_counts_on_both_or_on_neither() {
    for algorithm in Algorithm::ALL {
        let call = |cost: u64| {
            let line = format!("5 60 ALGORITHM {} COST {cost}", algorithm.name());
            Call::parse(line.split(' ').map(str::as_bytes)).unwrap()
        };
        let mut keys = [None, None];
        assert!(check_all(&call(3), &mut keys[..1]));

        let before = keys.clone();
        assert!(!check_all(&call(3), &mut keys), "{algorithm:?}: the first key has 2 left");
        assert_eq!(keys, before, "{algorithm:?}");

        assert!(check_all(&call(2), &mut keys), "{algorithm:?}");
        let remaining = |key: &Key| {
            let (value, end) = key.as_ref().unwrap();
            let stored = Stored { value, expiry_ms: Some(*end) };
            settle(&call(1), Some(stored), now()).unwrap().outcome().binding().remaining
        };
        assert_eq!(keys.each_ref().map(remaining), [0, 3], "{algorithm:?}");
    }
}
