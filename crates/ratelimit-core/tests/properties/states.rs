//! The stored string: only an allowed call writes it, it reads back the same, and it is never
//! trusted.

use crate::oracle::Int;
use crate::run::{call, moment, planted, row, step, words, Held, LATEST, T0};
use ratelimit_core::{check, Algorithm, StateError, Stored};
use ratelimit_harness::Random;

const RUNS: u64 = 1_000;

/// Random calls on many keys, half of which start with a planted state. `inspect` gets each call
/// with the key as it is before the call.
fn with_random_calls(mut inspect: impl FnMut(&ratelimit_core::Call, &Held, Int)) {
    for &algorithm in Algorithm::ALL {
        for seed in 0..RUNS {
            let random = &mut Random(seed);
            let mut now = random.pick(&[0, T0, LATEST]);
            let mut held = Held::default();
            if random.one_in(2) {
                held = Held::of(&planted(random, algorithm, now));
            }
            for _ in 0..10 {
                let call = words(&call(random, algorithm, 8).line());
                inspect(&call, &held, now);
                let row = row(held.check(&call, now).binding());
                now = step(random, now, &[row.retry_after_ms, row.reset_after_ms]);
            }
        }
    }
}

#[test]
fn a_call_stores_something_if_and_only_if_it_is_allowed() {
    with_random_calls(|call, held, now| {
        let (outcome, next) = held.decide(call, now, true).unwrap();
        assert_eq!(next.is_some(), outcome.allowed(), "{call:?} at {now}: {held:?}");
    });
}

#[test]
fn a_written_state_reads_back_the_same_and_ends_at_its_expiry() {
    let mut written = 0;
    with_random_calls(|call, held, now| {
        let mut held = held.clone();
        let (outcome, next) = held.decide(call, now, true).unwrap();
        let Some(next) = next else { return };
        held.keep(Some(&next));
        written += 1;
        assert!(next.expiry_ms > moment(now).millis(), "{call:?} at {now}: {held:?}");
        assert!(next.expiry_ms < 1 << 53);
        let text = core::str::from_utf8(next.value()).unwrap();
        let mut numbers = text.split(' ').filter(|word| word.parse::<u64>().is_ok());
        assert!(numbers.all(|n| n.parse::<u64>().unwrap() < 1 << 53), "{text}");
        for (then, now) in held.peek(call, now).standings().iter().zip(outcome.standings()) {
            let lasting = |s: &ratelimit_core::Standing| (s.limit, s.remaining, s.reset_after_ms);
            assert_eq!(lasting(then), lasting(now), "{call:?}: {text}");
        }
        let latest = outcome.standings().iter().map(|s| s.reset_after_ms).max().unwrap();
        let end = moment(now).millis() + latest;
        assert!([end, end + 1].contains(&next.expiry_ms), "{call:?} at {now}: {text}");
    });
    assert!(written > RUNS, "only {written} were written");
}

#[test]
fn a_state_of_another_algorithm_is_an_error() {
    for seed in 0..RUNS {
        let random = &mut Random(seed);
        let (stored, called) = (random.pick(Algorithm::ALL), random.pick(Algorithm::ALL));
        let mut held = Held::of(&planted(random, stored, T0));
        held.0.as_mut().unwrap().1 = T0 as u64 / 1000 + 1;
        let outcome = held.decide(&words(&call(random, called, 8).line()), T0, true);
        let error = (stored != called).then_some(StateError::OtherAlgorithm);
        assert_eq!(outcome.err(), error, "{stored:?} stored, {called:?} called: {held:?}");
    }
}

#[test]
fn a_string_that_never_expires_is_an_error() {
    for &algorithm in Algorithm::ALL {
        let (value, _) = Held::of(&planted(&mut Random(1), algorithm, T0)).0.unwrap();
        let stored = Stored { value: &value, expiry_ms: None };
        let call = words(&format!("5 60 ALGORITHM {algorithm:?}"));
        assert_eq!(check(&call, Some(stored), moment(T0)).err(), Some(StateError::NoExpiry));
    }
}

#[test]
fn a_state_counts_until_its_expiry_and_no_longer() {
    let call = words("5 60 ALGORITHM FIXED");
    let held = Held(Some((b"5".to_vec(), 1_000)));
    assert!(!held.peek(&call, 999_999).allowed());
    assert!(held.peek(&call, 1_000_000).allowed());
}
