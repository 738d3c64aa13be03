//! No algorithm lets more pass than it promises: in any span, at any rate, on any clock.

use crate::oracle::Int;
use crate::run::{call, step, words, Held, T0};
use ratelimit_core::Algorithm;
use ratelimit_harness::Random;

/// The allowed calls: the moment and the cost of each.
type Passed = Vec<(Int, Int)>;

/// A call with a small limit in a short window, so that a test sees many windows.
fn busy_line(random: &mut Random, algorithm: Algorithm) -> (Int, Int, Int, String) {
    let limit = 1 + random.below(20);
    let window_ms = random.pick(&[1, 2, 7, 11, 100]);
    let burst = if random.one_in(2) { limit } else { 1 + random.below(30) };
    let mut line = format!("{limit} {window_ms}ms ALGORITHM {algorithm:?}");
    if algorithm == Algorithm::Bucket {
        line += &format!(" BURST {burst}");
    }
    (limit.into(), Int::from(window_ms) * 1000, burst.into(), line)
}

/// Calls on a clock that never steps back, in bursts and with pauses; returns the allowed ones.
fn busy(random: &mut Random, line: &str, window: Int) -> Passed {
    let (mut held, mut now, mut passed) = (Held::default(), T0, Vec::new());
    for _ in 0..3_000 {
        let cost = 1 + random.below(3);
        if held.check(&words(&format!("{line} COST {cost}")), now).allowed() {
            passed.push((now, cost.into()));
        }
        now += match random.below(12) {
            0 => Int::from(random.below(2 * window as u64)),
            1..=4 => Int::from(random.below(window as u64 / 8)),
            _ => Int::from(random.below(2)),
        };
    }
    passed
}

/// The largest cost that passed in any span of `window`, without the span's last moment.
fn most_in_a_span(passed: &Passed, window: Int) -> Int {
    let (mut from, mut sum, mut most) = (0, 0, 0);
    for &(now, cost) in passed {
        sum += cost;
        while passed[from].0 + window <= now {
            sum -= passed[from].1;
            from += 1;
        }
        most = most.max(sum);
    }
    most
}

#[test]
fn windows_pass_less_than_twice_the_limit_in_any_span() {
    for algorithm in [Algorithm::Fixed, Algorithm::Sliding] {
        let mut fullest = 0;
        for seed in 0..200 {
            let random = &mut Random(seed);
            let (limit, window, _, line) = busy_line(random, algorithm);
            let mut passed = busy(random, &line, window);
            if algorithm == Algorithm::Fixed {
                // The window of FIXED opens and ends at whole milliseconds.
                passed.iter_mut().for_each(|(at, _)| *at -= *at % 1000);
            }
            let most = most_in_a_span(&passed, window);
            assert!(most < 2 * limit, "{most} passed, {line}, seed {seed}");
            fullest = fullest.max(100 * most / limit);
        }
        assert!(fullest > 110, "{algorithm:?} never came near its bound: {fullest} %");
    }
}

#[test]
fn a_fixed_window_never_lets_more_than_the_limit_pass() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let (limit, window, _, line) = busy_line(random, Algorithm::Fixed);
        let passed = busy(random, &line, window);
        let (mut end, mut sum) = (0, 0);
        for (now, cost) in passed {
            if now >= end {
                (end, sum) = (now - now % 1000 + window, 0);
            }
            sum += cost;
            assert!(sum <= limit, "{line}, seed {seed}, at {now}");
        }
    }
}

/// For all moments i ≤ j, the cost passed from i to j is at most burst + limit × (j − i) / window.
/// With level = window × passed so far − limit × now, no level is more than burst × window above an
/// earlier one, so it is enough to keep the lowest.
#[test]
fn a_bucket_passes_at_most_burst_and_refill_in_any_span() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let (limit, window, burst, line) = busy_line(random, Algorithm::Bucket);
        let (mut sum, mut lowest, mut fullest) = (0, Int::MAX, Int::MIN);
        for (now, cost) in busy(random, &line, window) {
            lowest = lowest.min(window * sum - limit * now);
            sum += cost;
            fullest = fullest.max(window * sum - limit * now - lowest);
        }
        assert!(fullest <= burst * window, "{line}, seed {seed}");
    }
}

/// Empties the bucket, then sends a call at every microsecond. The cost that has passed always
/// equals the tokens that have been refilled.
fn passes_exactly(limit: Int, window_ms: Int) {
    let line = format!("{limit} {window_ms}ms ALGORITHM BUCKET");
    let mut held = Held::default();
    assert!(held.check(&words(&format!("{line} COST {limit}")), T0).allowed());
    let (call, mut passed) = (words(&line), 0);
    for micros in 0..1_000_000 {
        passed += Int::from(held.check(&call, T0 + micros).allowed());
        assert_eq!(passed, limit * micros / (window_ms * 1000), "{line}, after {micros} us");
    }
}

#[test]
fn a_bucket_of_7_per_11_ms_is_exact_over_a_million_calls() {
    passes_exactly(7, 11);
}

#[test]
fn a_bucket_of_6000_per_second_is_exact_over_a_million_calls() {
    passes_exactly(6_000, 1_000);
}

#[test]
fn a_bucket_of_900000_per_second_is_exact_over_a_million_calls() {
    passes_exactly(900_000, 1_000);
}

/// The latest moment that the clock has reached limits what passes. How often it steps back does
/// not matter.
#[test]
fn a_clock_that_goes_back_and_forth_refunds_nothing() {
    for &algorithm in Algorithm::ALL {
        for seed in 0..300 {
            let random = &mut Random(seed);
            let (limit, window, burst, line) = busy_line(random, algorithm);
            let call = words(&line);
            let (mut held, mut passed) = (Held::default(), 0);
            passed += Int::from(held.check(&call, T0).allowed());
            for _ in 0..200 {
                let now = T0 + Int::from(random.below(window as u64));
                passed += Int::from(held.check(&call, now).allowed());
            }
            let most = match algorithm {
                Algorithm::Bucket => burst + limit * (window - 1) / window,
                Algorithm::Fixed | Algorithm::Sliding => limit,
                other => panic!("no bound is known for {other:?}"),
            };
            assert!(passed <= most, "{passed} passed, {line}, seed {seed}");
        }
    }
}

/// With the same state, an earlier clock never shows more remaining than a later clock.
#[test]
fn an_earlier_clock_never_sees_more_remaining() {
    for &algorithm in Algorithm::ALL {
        for seed in 0..2_000 {
            let random = &mut Random(seed);
            let call = words(&call(random, algorithm, 1).line());
            let mut held = Held::default();
            let mut now = T0;
            for _ in 0..5 {
                let answer = held.check(&call, now);
                now = step(random, now, &[answer.binding().reset_after_ms.into()]);
            }
            let now = now.max(1_000_000_000);
            let earlier = now - Int::from(random.number(9));
            let (then, before) = (held.peek(&call, now), held.peek(&call, earlier));
            let (then, before) = (then.binding(), before.binding());
            assert!(before.remaining <= then.remaining, "{algorithm:?}, seed {seed}");
            assert!(before.reset_after_ms >= then.reset_after_ms, "{algorithm:?}, seed {seed}");
        }
    }
}
