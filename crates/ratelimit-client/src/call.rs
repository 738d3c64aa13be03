//! A call, as the caller makes it, and the question that is made of it.

use std::borrow::Cow;

use crate::{Error, Policy, MAX_LIMIT};

/// May this key spend this cost under this policy?
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    key: &'a [u8],
    policy: &'a Policy,
    cost: u64,
}

impl<'a> Call<'a> {
    /// A call of cost 1.
    #[must_use]
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'a K, policy: &'a Policy) -> Self {
        Self { key: key.as_ref(), policy, cost: 1 }
    }

    /// Sets the cost, from 1 to 10^12. Any other number makes the call an [`Error::Cost`].
    #[must_use]
    pub fn cost(self, cost: u64) -> Self {
        Self { cost, ..self }
    }
}

/// The command that a question stands for.
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

/// A valid call with its full key. The limiter makes it once; every part below takes it as it is.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) verb: Verb,
    pub(crate) key: Cow<'a, [u8]>,
    pub(crate) policy: &'a Policy,
    pub(crate) cost: u64,
}

impl<'a> Question<'a> {
    pub(crate) fn new(verb: Verb, call: Call<'a>, keys: &KeySpace) -> Result<Self, Error> {
        if !(1..=MAX_LIMIT).contains(&call.cost) {
            return Err(Error::Cost);
        }
        let key = keys.full_key(call.key, call.policy);
        Ok(Self { verb, key, policy: call.policy, cost: call.cost })
    }

    /// The same question under another policy.
    pub(crate) fn under<'b>(&'b self, policy: &'b Policy) -> Question<'b> {
        Question { verb: self.verb, key: Cow::Borrowed(&self.key), policy, cost: self.cost }
    }

    pub(crate) fn to_core(&self) -> ratelimit_core::Call {
        ratelimit_core::Call { policy: self.policy.core(), cost: self.cost }
    }
}

/// How the key of a caller becomes a key of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySpace {
    pub(crate) prefix: Vec<u8>,
    pub(crate) suffix_by_algorithm: bool,
}

impl KeySpace {
    pub(crate) fn full_key<'a>(&self, key: &'a [u8], policy: &Policy) -> Cow<'a, [u8]> {
        if !self.suffix_by_algorithm {
            return match self.prefix.as_slice() {
                [] => Cow::Borrowed(key),
                prefix => Cow::Owned([prefix, key].concat()),
            };
        }
        let suffix = policy.algorithm().name().to_ascii_lowercase();
        Cow::Owned([&self.prefix, key, b":", suffix.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POLICY: Policy = Policy::fixed(5, Duration::from_secs(60));

    #[test]
    fn a_cost_out_of_bounds_is_an_error() {
        for (cost, is_valid) in [(0, false), (1, true), (MAX_LIMIT, true), (MAX_LIMIT + 1, false)] {
            let call = Call::new("k", &POLICY).cost(cost);
            let question = Question::new(Verb::Check, call, &KeySpace::default());
            assert_eq!(question.is_ok(), is_valid, "{cost}");
        }
    }

    #[test]
    fn a_key_is_copied_only_for_a_prefix_or_a_suffix() {
        let key = |prefix: &str, suffix_by_algorithm| {
            let keys = KeySpace { prefix: prefix.into(), suffix_by_algorithm };
            keys.full_key(b"k", &POLICY)
        };
        assert!(matches!(key("", false), Cow::Borrowed(b"k")));
        assert_eq!(*key("app:", false), *b"app:k");
        assert_eq!(*key("app:", true), *b"app:k:fixed");
    }
}
