//! A key that the core decides on, and random calls, states and moments for it.

use crate::oracle::{self, Int, Pair, Usage, NEVER};
use ratelimit_core::{check, peek, Algorithm, Next, Now, Outcome};
use ratelimit_core::{RetryAfter, Standing, StateError, Stored};
use ratelimit_harness::Random;

/// A moment in November 2023.
pub(crate) const T0: Int = 1_700_000_000_000_000;
pub(crate) const LATEST: Int = Now::MAX_MICROS as Int;

/// The string under a key, and its expiry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held(pub Option<(Vec<u8>, u64)>);

impl Held {
    pub(crate) fn of(key: &oracle::Key) -> Self {
        Self(Some((key.text().into_bytes(), key.expiry_ms as u64)))
    }

    pub(crate) fn decide(
        &self,
        call: &ratelimit_core::Call,
        now: Int,
        checks: bool,
    ) -> Result<(Outcome, Option<Next>), StateError> {
        let stored = self.0.as_ref().map(|(value, end)| Stored { value, expiry_ms: Some(*end) });
        if checks {
            check(call, stored, moment(now))
        } else {
            peek(call, stored, moment(now)).map(|outcome| (outcome, None))
        }
    }

    pub(crate) fn peek(&self, call: &ratelimit_core::Call, now: Int) -> Outcome {
        self.decide(call, now, false).unwrap().0
    }

    /// Checks the call, and keeps the next string.
    pub(crate) fn check(&mut self, call: &ratelimit_core::Call, now: Int) -> Outcome {
        let (outcome, next) = self.decide(call, now, true).unwrap();
        self.keep(next.as_ref());
        outcome
    }

    pub(crate) fn keep(&mut self, next: Option<&Next>) {
        if let Some(next) = next {
            self.0 = Some((next.value().to_vec(), next.expiry_ms));
        }
    }
}

pub(crate) fn moment(now: Int) -> Now {
    Now::from_micros(now as i64).unwrap()
}

pub(crate) fn words(line: &str) -> ratelimit_core::Call {
    ratelimit_core::Call::parse(line.split(' ').map(str::as_bytes)).expect(line)
}

impl oracle::Call {
    /// The words of the call, as a user types them.
    pub(crate) fn line(&self) -> String {
        let pairs = self.pairs.iter().map(|p| format!("{} {}ms", p.limit, p.window / 1000));
        let mut line = pairs.collect::<Vec<_>>().join(" ");
        line += &format!(" ALGORITHM {:?} COST {}", self.algorithm, self.cost);
        if self.pairs[0].burst != self.pairs[0].limit {
            line += &format!(" BURST {}", self.pairs[0].burst);
        }
        line
    }
}

pub(crate) fn row(standing: &Standing) -> oracle::Row {
    oracle::Row {
        limit: standing.limit.into(),
        remaining: standing.remaining.into(),
        retry_after_ms: match standing.retry_after {
            RetryAfter::Now => 0,
            RetryAfter::Millis(ms) => ms.into(),
            RetryAfter::Never => NEVER,
        },
        reset_after_ms: standing.reset_after_ms.into(),
    }
}

fn window(random: &mut Random) -> Int {
    const DAY_MS: u64 = 86_400_000;
    let any = 1 + random.number(10).min(366 * DAY_MS - 1);
    Int::from(random.pick(&[1, 2, 11, 1_000, 60_000, 366 * DAY_MS, any])) * 1000
}

fn limit(random: &mut Random) -> Int {
    match random.below(10) {
        0 => 0,
        1 => 1_000_000_000_000 - Int::from(random.number(2)),
        2 => random.number(12).into(),
        _ => Int::from(1 + random.below(12)),
    }
}

pub(crate) fn cost(random: &mut Random, pairs: &[Pair]) -> Int {
    let at_the_limit = pairs[random.below(pairs.len() as u64) as usize].burst;
    let cost = match random.below(8) {
        0 => at_the_limit + 1 - Int::from(random.below(3)),
        1 => at_the_limit / 2,
        _ => Int::from(1 + random.below(3)),
    };
    cost.clamp(1, 1_000_000_000_000)
}

/// Any valid call of an algorithm, with up to `max_pairs` pairs.
pub(crate) fn call(random: &mut Random, algorithm: Algorithm, max_pairs: u64) -> oracle::Call {
    let mut pairs: Vec<Pair> = Vec::new();
    for _ in 0..=random.below(max_pairs) {
        let (limit, window) = (limit(random), window(random));
        if pairs.iter().all(|pair| pair.window != window) {
            pairs.push(Pair { limit, window, burst: limit });
        }
    }
    if algorithm == Algorithm::Bucket && pairs.len() == 1 && random.one_in(2) {
        let Pair { limit, window, .. } = pairs[0];
        let max_burst = (limit * 3660 * 86_400_000_000 / window).min(1_000_000_000_000);
        let burst = Int::from(random.pick(&[1u64, 2, 5, 30, 1_000_000_000_000]));
        pairs[0].burst = if max_burst == 0 { limit } else { burst.min(max_burst) };
    }
    oracle::Call { algorithm, cost: cost(random, &pairs), pairs }
}

/// A state that another policy, another clock or a person may have left.
pub(crate) fn planted(random: &mut Random, algorithm: Algorithm, now: Int) -> oracle::Key {
    let mut groups: Vec<(Int, Usage)> = Vec::new();
    for _ in 0..1 + random.below(8) {
        let window = window(random);
        let offset = Int::from(random.number(15)) * (1 - 2 * Int::from(random.below(2)));
        let at = (now + offset).clamp(0, (1 << 53) - 1);
        let mut count = || Int::from(random.number(12));
        let usage = match algorithm {
            Algorithm::Fixed => Usage::Fixed { end_ms: at / 1000, count: count() },
            Algorithm::Sliding => {
                Usage::Sliding { window, start: at, previous: count(), current: count() }
            }
            Algorithm::Bucket => Usage::Bucket { tat: at, remainder: count() },
            other => panic!("no state is known for {other:?}"),
        };
        groups.push((window, usage));
    }
    groups.sort_by_key(|group| group.0);
    groups.dedup_by_key(|group| group.0);
    let mut expiry_ms = (now / 1000 + 1 + Int::from(random.number(13))).min((1 << 53) - 1);
    if let [(_, Usage::Fixed { end_ms, .. })] = groups[..] {
        expiry_ms = end_ms;
    }
    oracle::Key { groups, expiry_ms }
}

/// The next moment: a little later, close to an announced moment, much later, or earlier.
pub(crate) fn step(random: &mut Random, now: Int, announced_ms: &[Int]) -> Int {
    let little = Int::from(random.below(3));
    let next = match random.below(8) {
        0 | 1 => now + little,
        2 => now + Int::from(random.number(12)),
        3 => now - Int::from(random.number(12)),
        _ => {
            let ms = random.pick(announced_ms);
            let ms = if ms == NEVER { 0 } else { ms };
            let share = Int::from(random.pick(&[1u64, 1, 1, 2, 4]));
            now + ms * 1000 / share + Int::from(random.pick(&[0i64, -1, 1, -1000, 1000, 999]))
        }
    };
    next.clamp(0, LATEST)
}
