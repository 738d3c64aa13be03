//! Every field of every answer, and every stored string, equals the oracle's.

use crate::oracle::{self, Answer, Int};
use crate::run::{call, cost, planted, row, step, words, Held, LATEST, T0};
use ratelimit_core::{Algorithm, Next, Outcome};
use ratelimit_harness::Random;

const RUNS: u64 = 250;
const CALLS: usize = 120;

#[test]
fn every_answer_and_every_state_equals_the_oracles() {
    for &algorithm in Algorithm::ALL {
        let mut tally = Tally::default();
        for seed in 0..RUNS {
            let max_pairs = if seed % 2 == 0 { 1 } else { 8 };
            Run::new(algorithm, seed, max_pairs).go(&mut tally);
        }
        assert!(tally.has_all_kinds(), "too few calls of one kind, {algorithm:?}: {tally:?}");
    }
}

/// Random calls on one key, with a log of every step for the message of a failure.
struct Run {
    random: Random,
    algorithm: Algorithm,
    max_pairs: u64,
    call: oracle::Call,
    now: Int,
    key: oracle::Key,
    held: Held,
    log: Vec<String>,
}

impl Run {
    fn new(algorithm: Algorithm, seed: u64, max_pairs: u64) -> Self {
        let mut random = Random(seed);
        let now = random.pick(&[T0, T0 + 1, T0 + 999, 0, 1, LATEST, LATEST - 1_000_000]);
        let call = call(&mut random, algorithm, max_pairs);
        let log = vec![format!("{algorithm:?}, seed {seed}")];
        let (key, held) = Default::default();
        Self { random, algorithm, max_pairs, call, now, key, held, log }
    }

    fn go(mut self, tally: &mut Tally) {
        for _ in 0..CALLS {
            let checks = !self.random.one_in(4);
            let answer = self.decide(checks);
            tally.count(&answer);
            self.change(&answer);
        }
    }

    fn decide(&mut self, checks: bool) -> Answer {
        let line = self.call.line();
        let verb = if checks { "CHECK" } else { "PEEK" };
        self.log.push(format!("at {}: {verb} {line}", self.now));
        let answer = self.call.decide(&self.key, self.now, checks);
        let outcome = self.held.decide(&words(&line), self.now, checks);
        let log = || self.log.join("\n");
        let (outcome, next) = outcome.unwrap_or_else(|error| panic!("{error:?} after\n{}", log()));
        assert_eq!(of_core(&outcome, next.as_ref()), of_oracle(&answer), "after\n{}", log());
        self.held.keep(next.as_ref());
        if let Some(next) = &answer.next {
            self.key = next.clone();
            self.log.push(format!("  stored: {} until {}", self.key.text(), self.key.expiry_ms));
        }
        answer
    }

    /// Changes the time, and sometimes the cost, the policy or the stored string.
    fn change(&mut self, answer: &Answer) {
        let announced = [answer.binding.retry_after_ms, answer.binding.reset_after_ms];
        self.now = step(&mut self.random, self.now, &announced);
        if self.random.one_in(3) {
            self.call.cost = cost(&mut self.random, &self.call.pairs);
        }
        if self.random.one_in(12) {
            self.change_policy();
        }
        if self.random.one_in(40) {
            self.key = planted(&mut self.random, self.algorithm, self.now);
            self.held = Held::of(&self.key);
            let text = self.key.text();
            self.log.push(format!("planted: {text} until {}", self.key.expiry_ms));
        }
        if self.key.expiry_ms <= self.now / 1000 && self.random.one_in(2) {
            (self.key, self.held) = Default::default();
            self.log.push("the server removes the key".into());
        }
    }

    /// Changes the policy to a single pair, another window, another limit, or other pairs.
    fn change_policy(&mut self) {
        let other = call(&mut self.random, self.algorithm, self.max_pairs);
        let pairs = &mut self.call.pairs;
        match self.random.below(4) {
            0 => pairs.truncate(1),
            1 if pairs.iter().all(|pair| pair.window != other.pairs[0].window) => {
                pairs[0] = other.pairs[0];
            }
            2 => {
                pairs[0].limit = other.pairs[0].limit;
                pairs[0].burst = other.pairs[0].limit;
            }
            _ => self.call = other,
        }
        if self.call.pairs.len() > 1 {
            self.call.pairs.iter_mut().for_each(|pair| pair.burst = pair.limit);
        }
    }
}

/// An answer in the form that is compared, with the stored string and its expiry.
type Comparable = (bool, oracle::Row, Vec<oracle::Row>, Option<(String, u64)>);

fn of_core(outcome: &Outcome, next: Option<&Next>) -> Comparable {
    let rows = outcome.standings().iter().map(row).collect();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let next = next.map(|next| (text(next.value()), next.expiry_ms));
    (outcome.allowed(), row(outcome.binding()), rows, next)
}

fn of_oracle(answer: &Answer) -> Comparable {
    let next = answer.next.as_ref().map(|key| (key.text(), key.expiry_ms as u64));
    (answer.allowed, answer.binding, answer.rows.clone(), next)
}

/// How many calls there were of each kind.
#[derive(Debug, Default)]
struct Tally {
    allowed: u64,
    denied: u64,
    never: u64,
    several_pairs: u64,
}

impl Tally {
    fn count(&mut self, answer: &Answer) {
        let never = answer.binding.retry_after_ms == oracle::NEVER;
        self.allowed += u64::from(answer.allowed);
        self.denied += u64::from(!answer.allowed && !never);
        self.never += u64::from(never);
        self.several_pairs += u64::from(answer.rows.len() > 1);
    }

    fn has_all_kinds(&self) -> bool {
        let kinds = [self.allowed, self.denied, self.never, self.several_pairs];
        kinds.iter().all(|&calls| calls > RUNS * CALLS as u64 / 20)
    }
}
