//! Every number that an answer announces is exact, to the millisecond and to the token.

use crate::oracle::{Int, NEVER};
use crate::run::{call, row, step, words, Held, LATEST, T0};
use ratelimit_core::{Algorithm, Call, Outcome};
use ratelimit_harness::Random;

/// The time from `T0` to the latest moment of a decision. Longer than any wait.
const FAR: Int = LATEST - T0;

/// Random calls on many keys, with one pair or several, while policy and clock change. `inspect`
/// gets each call with the key as it is after the call.
fn with_keys_in_use(mut inspect: impl FnMut(&str, &Held, Int, &mut Random)) {
    for &algorithm in Algorithm::ALL {
        for seed in 0..1_500 {
            let random = &mut Random(seed);
            let max_pairs = 1 + 3 * (seed % 2);
            let mut call = call(random, algorithm, max_pairs);
            let (mut held, mut now) = (Held::default(), T0);
            for _ in 0..8 {
                let outcome = held.check(&words(&call.line()), now);
                let row = row(outcome.binding());
                inspect(&call.line(), &held, now, random);
                now = step(random, now, &[row.retry_after_ms, row.reset_after_ms]).min(2 * T0);
                call.cost = crate::run::cost(random, &call.pairs);
                if random.one_in(4) && call.pairs.len() == 1 {
                    call = crate::run::call(random, algorithm, 1);
                }
            }
        }
    }
}

fn passes(call: &Call, held: &Held, now: Int) -> bool {
    held.peek(call, now).allowed()
}

#[test]
fn is_denied_before_retry_after_and_allowed_at_it() {
    let mut waited = 0;
    with_keys_in_use(|line, held, now, random| {
        let call = words(line);
        let wait_ms = row(held.peek(&call, now).binding()).retry_after_ms;
        if wait_ms == 0 || wait_ms == NEVER {
            return;
        }
        waited += 1;
        let wait = wait_ms * 1000;
        assert!(passes(&call, held, now + wait), "{line} at {now}: {held:?}");
        let sampled = (0..20).map(|_| Int::from(random.below(wait as u64 - 999)));
        for early in sampled.chain([0, wait - 1000]) {
            assert!(!passes(&call, held, now + early), "{line} at {now} + {early}: {held:?}");
        }
    });
    assert!(waited > 1_000, "only {waited} calls had to wait");
}

#[test]
fn a_cost_above_the_capacity_never_passes() {
    let mut never = 0;
    with_keys_in_use(|line, held, now, random| {
        let call = words(line);
        if row(held.peek(&call, now).binding()).retry_after_ms != NEVER {
            return;
        }
        never += 1;
        for _ in 0..10 {
            let later = (now + Int::from(random.number(16))).min(now + FAR / 2).min(LATEST);
            assert!(!passes(&call, held, later), "{line} at {later}: {held:?}");
        }
        assert!(!passes(&call, &Held::default(), now));
    });
    assert!(never > 1_000, "only {never} calls could never pass");
}

/// As if unused: everything remains, and there is nothing to reset.
#[test]
fn is_as_if_unused_at_reset_after_and_not_earlier() {
    with_keys_in_use(|line, held, now, _| {
        let call = words(line);
        let reset_ms = row(held.peek(&call, now).binding()).reset_after_ms;
        for (i, standing) in held.peek(&call, now).standings().iter().enumerate() {
            let pair_reset = Int::from(standing.reset_after_ms);
            if pair_reset == 0 {
                continue;
            }
            let early = held.peek(&call, now + pair_reset * 1000 - 1000).standings()[i];
            assert!(early.reset_after_ms > 0, "{line} at {now}: {held:?}");
            let then = held.peek(&call, now + pair_reset * 1000).standings()[i];
            assert_eq!((then.remaining, then.reset_after_ms), (then.limit, 0), "{line} at {now}");
        }
        if call.policy.pairs().len() == 1 {
            let then = now + reset_ms * 1000;
            let (mut used, mut unused) = (held.clone(), Held::default());
            let outcomes = [used.check(&call, then), unused.check(&call, then)];
            let [of_used, of_unused] = outcomes.each_ref().map(Outcome::standings);
            assert_eq!(of_used, of_unused, "{line} at {then}: {held:?}");
            if outcomes[0].allowed() {
                assert_eq!(used, unused, "{line} at {then}: {held:?}");
            }
        }
    });
}

#[test]
fn exactly_the_remaining_cost_passes_now() {
    with_keys_in_use(|line, held, now, _| {
        let (policy, _) = line.split_once(" COST ").unwrap();
        let burst = line.split_once(" BURST ").map_or(String::new(), |b| format!(" BURST {}", b.1));
        let costing = |cost: u64| words(&format!("{policy} COST {cost}{burst}"));
        let call = costing(1);
        // With several pairs, the smallest remaining limits the call.
        let standings = held.peek(&call, now);
        let remaining = standings.standings().iter().map(|s| s.remaining).min().unwrap();
        assert!(standings.standings().iter().all(|s| s.remaining <= s.limit), "{line}");
        if remaining > 0 {
            assert!(passes(&costing(remaining), held, now), "{line} at {now}: {held:?}");
        }
        if remaining < 1_000_000_000_000 {
            assert!(!passes(&costing(remaining + 1), held, now), "{line} at {now}: {held:?}");
        }
    });
}

#[test]
fn an_allowed_call_takes_exactly_its_cost_from_remaining() {
    with_keys_in_use(|line, held, now, _| {
        let call = words(line);
        let (before, after) = (held.peek(&call, now), held.clone().check(&call, now));
        let cost = if after.allowed() { call.cost } else { 0 };
        for (before, after) in before.standings().iter().zip(after.standings()) {
            assert_eq!(before.remaining - cost, after.remaining, "{line} at {now}: {held:?}");
        }
    });
}
