//! One question: a key, a policy and a cost; and the words that ask it of a server.

use ratelimit_core::policy::MAX_LIMIT;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        let policy = Policy::fixed(5, Duration::from_secs(60));
        for (cost, is_valid) in [(0, false), (1, true), (MAX_LIMIT, true), (MAX_LIMIT + 1, false)] {
            assert_eq!(Call::new("k", &policy).cost(cost).to_core().is_ok(), is_valid, "{cost}");
        }
    }
}
