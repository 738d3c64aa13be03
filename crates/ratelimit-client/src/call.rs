//! One question: a key, a policy and a cost; and the words that ask it of a server.

use ratelimit_core::policy::MAX_LIMIT;
use ratelimit_core::Algorithm;
use redis::Cmd;

use crate::{Error, Policy};

/// What is asked: may this key spend this cost under this policy?
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) policy: &'a Policy,
    pub(crate) cost: u64,
}

impl<'a> Call<'a> {
    /// Of cost 1.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'a K, policy: &'a Policy) -> Self {
        Self { key: key.as_ref(), policy, cost: 1 }
    }

    /// The same of another cost, from 1 to 10^12.
    pub fn cost(self, cost: u64) -> Self {
        Self { cost, ..self }
    }

    pub(crate) fn to_core(self) -> Result<ratelimit_core::Call, Error> {
        if !(1..=MAX_LIMIT).contains(&self.cost) {
            return Err(Error::Cost);
        }
        Ok(ratelimit_core::Call { policy: self.policy.core(), cost: self.cost })
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Check,
    Peek,
}

impl Verb {
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Check => "RATELIMIT.CHECK",
            Self::Peek => "RATELIMIT.PEEK",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "CHECK",
            Self::Peek => "PEEK",
        }
    }
}

/// Appends the words behind the key: `limit window [limit window ...] [ALGORITHM a] [BURST b] [COST c]`.
pub(crate) fn append_words(command: &mut Cmd, policy: &Policy, cost: u64) {
    for pair in policy.windows() {
        command.arg(pair.limit);
        match pair.window.millis() {
            millis if millis % 1000 == 0 => command.arg(millis / 1000),
            millis => command.arg(format!("{millis}ms")),
        };
    }
    match policy.algorithm() {
        Algorithm::Fixed => {}
        Algorithm::Sliding => drop(command.arg("ALGORITHM").arg("SLIDING")),
        Algorithm::Bucket => drop(command.arg("ALGORITHM").arg("BUCKET")),
    }
    let first = policy.windows()[0];
    if first.burst != first.limit {
        command.arg("BURST").arg(first.burst);
    }
    if cost != 1 {
        command.arg("COST").arg(cost);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::Arg;

    use super::*;

    fn words(policy: Policy, cost: u64) -> String {
        let mut command = Cmd::new();
        append_words(&mut command, &policy, cost);
        let words = command.args_iter().map(|word| match word {
            Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
            _ => panic!("a cursor"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_words_are_those_of_the_command() {
        let minute = Duration::from_secs(60);
        let cases = [
            (Policy::fixed(5, minute), 1, "5 60"),
            (Policy::fixed(5, Duration::from_millis(1500)), 2, "5 1500ms COST 2"),
            (Policy::sliding(5, minute), 1, "5 60 ALGORITHM SLIDING"),
            (Policy::bucket(5, minute).burst(9), 1, "5 60 ALGORITHM BUCKET BURST 9"),
            (Policy::fixed(5, minute).and(50, 60 * minute), 1, "5 60 50 3600"),
        ];
        for (policy, cost, expected) in cases {
            assert_eq!(words(policy, cost), expected);
            let parsed = ratelimit_core::Call::parse(expected.split(' ').map(str::as_bytes));
            assert_eq!(parsed, Ok(Call::new("k", &policy).cost(cost).to_core().unwrap()));
        }
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        let policy = Policy::fixed(5, Duration::from_secs(60));
        for (cost, is_valid) in [(0, false), (1, true), (MAX_LIMIT, true), (MAX_LIMIT + 1, false)] {
            assert_eq!(Call::new("k", &policy).cost(cost).to_core().is_ok(), is_valid, "{cost}");
        }
    }
}
