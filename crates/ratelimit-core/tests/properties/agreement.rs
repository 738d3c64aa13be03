//! Every field of every reply, and every string stored, is the oracle's.

use crate::oracle::{self, Answer, Int};
use crate::run::{call, cost, planted, row, step, words, Held, LATEST, T0};
use ratelimit_core::{Algorithm, Next, Outcome};
use ratelimit_harness::Random;

const RUNS: u64 = 250;
const CALLS: usize = 120;

#[test]
fn every_answer_and_every_state_is_the_oracles() {
    for &algorithm in Algorithm::ALL {
        let mut told = Told::default();
        for seed in 0..RUNS {
            let most_pairs = if seed % 2 == 0 { 1 } else { 8 };
            Run::new(algorithm, seed, most_pairs).go(&mut told);
        }
        assert!(told.is_of_all_kinds(), "{algorithm:?} is one-sided: {told:?}");
    }
}

/// One key through a random life, with what led to where it is.
struct Run {
    random: Random,
    algorithm: Algorithm,
    most_pairs: u64,
    call: oracle::Call,
    now: Int,
    key: oracle::Key,
    held: Held,
    story: Vec<String>,
}

impl Run {
    fn new(algorithm: Algorithm, seed: u64, most_pairs: u64) -> Self {
        let mut random = Random(seed);
        let now = random.pick(&[T0, T0 + 1, T0 + 999, 0, 1, LATEST, LATEST - 1_000_000]);
        let call = call(&mut random, algorithm, most_pairs);
        let story = vec![format!("{algorithm:?}, seed {seed}")];
        let (key, held) = Default::default();
        Self { random, algorithm, most_pairs, call, now, key, held, story }
    }

    fn go(mut self, told: &mut Told) {
        for _ in 0..CALLS {
            let checks = !self.random.one_in(4);
            let answer = self.ask(checks);
            told.count(&answer);
            self.change(&answer);
        }
    }

    fn ask(&mut self, checks: bool) -> Answer {
        let line = self.call.line();
        self.story.push(format!("at {}: {line}, {}", self.now, if checks { "" } else { "PEEK" }));
        let answer = self.call.decide(&self.key, self.now, checks);
        let outcome = self.held.ask(&words(&line), self.now, checks);
        let story = || self.story.join("\n");
        let (outcome, next) =
            outcome.unwrap_or_else(|error| panic!("{error:?} after\n{}", story()));
        assert_eq!(as_answer(&outcome, next.as_ref()), shown(&answer), "after\n{}", story());
        self.held.keep(next.as_ref());
        if let Some(next) = &answer.next {
            self.key = next.clone();
            self.story.push(format!("  stored: {} until {}", self.key.text(), self.key.expiry_ms));
        }
        answer
    }

    /// Time, and now and then the cost, the policy, or what is stored.
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
            self.story.push(format!("planted: {text} until {}", self.key.expiry_ms));
        }
        if self.key.expiry_ms <= self.now / 1000 && self.random.one_in(2) {
            (self.key, self.held) = Default::default();
            self.story.push("the server removes the key".into());
        }
    }

    /// Another limit, another window, other pairs, or one of them alone.
    fn change_policy(&mut self) {
        let other = call(&mut self.random, self.algorithm, self.most_pairs);
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

/// Next to the answer, what is stored: it is compared as bytes.
type Shown = (bool, oracle::Row, Vec<oracle::Row>, Option<(String, u64)>);

fn as_answer(outcome: &Outcome, next: Option<&Next>) -> Shown {
    let rows = outcome.standings().iter().map(row).collect();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let next = next.map(|next| (text(next.value()), next.expiry_ms));
    (outcome.allowed(), row(outcome.binding()), rows, next)
}

fn shown(answer: &Answer) -> Shown {
    let next = answer.next.as_ref().map(|key| (key.text(), key.expiry_ms as u64));
    (answer.allowed, answer.binding, answer.rows.clone(), next)
}

#[derive(Debug, Default)]
struct Told {
    allowed: u64,
    denied: u64,
    never: u64,
    several_pairs: u64,
}

impl Told {
    fn count(&mut self, answer: &Answer) {
        let never = answer.binding.retry_after_ms == oracle::NEVER;
        self.allowed += u64::from(answer.allowed);
        self.denied += u64::from(!answer.allowed && !never);
        self.never += u64::from(never);
        self.several_pairs += u64::from(answer.rows.len() > 1);
    }

    fn is_of_all_kinds(&self) -> bool {
        let kinds = [self.allowed, self.denied, self.never, self.several_pairs];
        kinds.iter().all(|&calls| calls > RUNS * CALLS as u64 / 20)
    }
}
