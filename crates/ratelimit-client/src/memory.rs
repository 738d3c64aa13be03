//! The memory backend: the core's decisions, with the states in this process.

use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use ratelimit_core::{check, peek, Next, Now, Outcome, Stored};

use crate::call::{Question, Verb};
use crate::expiring::ExpiringMap;
use crate::sync::lock;
use crate::{Answer, Error, Source};

/// Keys and their states, in the form in which a server stores them.
#[derive(Debug)]
pub(crate) struct Memory {
    states: Mutex<ExpiringMap<Box<[u8]>>>,
    /// Microseconds since any fixed moment.
    clock: fn() -> i64,
}

impl Memory {
    pub(crate) fn new(max_keys: usize, clock: fn() -> i64) -> Self {
        Self { states: Mutex::new(ExpiringMap::new(max_keys)), clock }
    }

    /// The answer that a server with the same keys would give.
    pub(crate) fn decide(&self, question: &Question) -> Result<Answer, Error> {
        let now = Now::from_micros((self.clock)())
            .map_err(|error| Error::Refused(format!("ERR {error}")))?;
        let key = &question.key;
        let mut states = lock(&self.states);
        let stored = states.get(key, now.millis());
        let stored = stored.map(|(value, end_ms)| Stored { value, expiry_ms: Some(end_ms) });
        let (outcome, next) = outcome(question, stored, now)?;
        if let Some(next) = next {
            let state = next.value().into();
            states
                .insert(key, state, next.expiry_ms, now.millis())
                .map_err(|_| Error::MemoryFull(states.len()))?;
        }
        Ok(Answer::of_outcome(&outcome, Source::Memory))
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        lock(&self.states).remove(key);
    }
}

fn outcome(
    question: &Question,
    stored: Option<Stored>,
    now: Now,
) -> Result<(Outcome, Option<Next>), Error> {
    let call = question.to_core();
    let outcome = match question.verb {
        Verb::Check => check(&call, stored, now),
        Verb::Peek => peek(&call, stored, now).map(|outcome| (outcome, None)),
    };
    outcome.map_err(|error| Error::Refused(format!("ERR {error}")))
}

/// Microseconds since the first call of this function, by a clock that never steps.
pub(crate) fn micros_running() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(START.elapsed().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;
    use crate::call::KeySpace;
    use crate::{Call, Policy, Retry};

    fn decide(memory: &Memory, key: &str, policy: Policy) -> Result<Answer, Error> {
        let call = Call::new(key, &policy);
        memory.decide(&Question::new(Verb::Check, call, &KeySpace::default())?)
    }

    const ONCE: Policy = Policy::fixed(1, Duration::from_secs(60));

    #[test]
    fn a_full_memory_takes_a_new_key_once_another_has_expired() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let memory = Memory::new(1, || CLOCK.load(Relaxed));
        assert!(decide(&memory, "a", ONCE).unwrap().is_allowed());
        assert!(matches!(decide(&memory, "b", ONCE), Err(Error::MemoryFull(1))));
        assert!(!decide(&memory, "a", ONCE).unwrap().is_allowed());
        CLOCK.store(60_000_000, Relaxed);
        assert!(decide(&memory, "b", ONCE).unwrap().is_allowed());
    }

    #[test]
    fn an_error_is_in_the_words_of_the_server() {
        let refused = |result: Result<Answer, Error>| match result {
            Err(Error::Refused(text)) => text,
            other => panic!("{other:?}"),
        };
        let memory = Memory::new(9, micros_running);
        decide(&memory, "a", ONCE).unwrap();
        let bucket = decide(&memory, "a", Policy::bucket(1, Duration::from_secs(60)));
        assert_eq!(refused(bucket), "ERR key holds the state of another algorithm");
        let early = Memory::new(9, || -1);
        assert_eq!(refused(decide(&early, "a", ONCE)), "ERR server clock is out of range");
    }

    #[test]
    fn a_clock_that_steps_back_prolongs_the_wait_by_its_step() {
        static CLOCK: AtomicI64 = AtomicI64::new(100_000_000);
        let memory = Memory::new(9, || CLOCK.load(Relaxed));
        assert!(decide(&memory, "a", ONCE).unwrap().is_allowed());
        CLOCK.store(90_000_000, Relaxed);
        let retry = decide(&memory, "a", ONCE).unwrap().retry();
        assert_eq!(retry, Retry::After(Duration::from_secs(70)));
    }
}
