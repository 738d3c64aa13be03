//! What is stored: written only by what consumes, read back as written, and never trusted.

use crate::oracle::Int;
use crate::run::{call, moment, planted, row, step, words, Held, LATEST, T0};
use ratelimit_core::{check, Algorithm, StateError, Stored};
use ratelimit_harness::Random;

const RUNS: u64 = 1_000;

/// Random calls on a key, on planted ones too; `judge` sees the key before each.
fn lives(mut judge: impl FnMut(&ratelimit_core::Call, &Held, Int)) {
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
                judge(&call, &held, now);
                let told = row(held.check(&call, now).binding());
                now = step(random, now, &[told.retry_after_ms, told.reset_after_ms]);
            }
        }
    }
}

#[test]
fn a_denial_stores_nothing_and_an_allowed_call_something() {
    lives(|call, held, now| {
        let (outcome, next) = held.ask(call, now, true).unwrap();
        assert_eq!(next.is_some(), outcome.allowed(), "{call:?} at {now}: {held:?}");
    });
}

#[test]
fn what_is_written_is_read_back_the_same_and_ends_with_its_expiry() {
    let mut written = 0;
    lives(|call, held, now| {
        let mut held = held.clone();
        let (outcome, next) = held.ask(call, now, true).unwrap();
        let Some(next) = next else { return };
        held.keep(Some(&next));
        written += 1;
        assert!(next.expiry_ms > moment(now).millis(), "{call:?} at {now}: {held:?}");
        assert!(next.expiry_ms < 1 << 53);
        let text = core::str::from_utf8(next.value()).unwrap();
        let mut numbers = text.split(' ').filter(|word| word.parse::<u64>().is_ok());
        assert!(numbers.all(|n| n.parse::<u64>().unwrap() < 1 << 53), "{text}");
        for (then, now) in held.peek(call, now).standings().iter().zip(outcome.standings()) {
            let told = |s: &ratelimit_core::Standing| (s.limit, s.remaining, s.reset_after_ms);
            assert_eq!(told(then), told(now), "{call:?}: {text}");
        }
        let latest = outcome.standings().iter().map(|s| s.reset_after_ms).max().unwrap();
        let end = moment(now).millis() + latest;
        assert!([end, end + 1].contains(&next.expiry_ms), "{call:?} at {now}: {text}");
    });
    assert!(written > RUNS, "only {written} were written");
}

#[test]
fn a_state_of_another_algorithm_is_refused() {
    for seed in 0..RUNS {
        let random = &mut Random(seed);
        let (stored, asked) = (random.pick(Algorithm::ALL), random.pick(Algorithm::ALL));
        let mut held = Held::of(&planted(random, stored, T0));
        held.0.as_mut().unwrap().1 = T0 as u64 / 1000 + 1;
        let outcome = held.ask(&words(&call(random, asked, 8).line()), T0, true);
        let error = (stored != asked).then_some(StateError::OtherAlgorithm);
        assert_eq!(outcome.err(), error, "{stored:?}, asked by {asked:?}: {held:?}");
    }
}

#[test]
fn a_string_that_never_expires_is_refused() {
    for &algorithm in Algorithm::ALL {
        let (value, _) = Held::of(&planted(&mut Random(1), algorithm, T0)).0.unwrap();
        let stored = Stored { value: &value, expiry_ms: None };
        let call = words(&format!("5 60 ALGORITHM {algorithm:?}"));
        assert_eq!(check(&call, Some(stored), moment(T0)).err(), Some(StateError::NoExpiry));
    }
}

#[test]
fn a_key_at_its_expiry_is_over_and_one_before_it_is_not() {
    let call = words("5 60 ALGORITHM FIXED");
    let held = Held(Some((b"5".to_vec(), 1_000)));
    assert!(!held.peek(&call, 999_999).allowed());
    assert!(held.peek(&call, 1_000_000).allowed());
}
