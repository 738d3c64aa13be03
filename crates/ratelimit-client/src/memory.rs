//! The same decisions in the memory of this process: the module's core, bounded in keys.

use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use ratelimit_core::{check, peek, Call, Next, Now, Outcome, Stored};

use crate::call::Verb;
use crate::expiring::ExpiringMap;
use crate::sync::lock;
use crate::{Answer, Error, Source};

/// Keys and their states, as a server would store them.
#[derive(Debug)]
pub(crate) struct Memory {
    states: Mutex<ExpiringMap<Box<[u8]>>>,
    /// Microseconds, from any moment on.
    clock: fn() -> i64,
}

impl Memory {
    pub(crate) fn new(max_keys: usize, clock: fn() -> i64) -> Self {
        Self { states: Mutex::new(ExpiringMap::new(max_keys)), clock }
    }

    /// What the server would answer, had it these keys.
    pub(crate) fn ask(&self, verb: Verb, key: &[u8], call: &Call) -> Result<Answer, Error> {
        let now = Now::from_micros((self.clock)())
            .map_err(|error| Error::Refused(format!("ERR {error}")))?;
        let mut states = lock(&self.states);
        let state = states.get(key, now.millis()).map(|(value, end)| (&**value, end));
        let (outcome, next) = decide(verb, call, state, now)?;
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

fn decide(
    verb: Verb,
    call: &Call,
    state: Option<(&[u8], u64)>,
    now: Now,
) -> Result<(Outcome, Option<Next>), Error> {
    let stored = state.map(|(value, end)| Stored { value, expiry_ms: Some(end) });
    let outcome = match verb {
        Verb::Check => check(call, stored, now),
        Verb::Peek => peek(call, stored, now).map(|outcome| (outcome, None)),
    };
    outcome.map_err(|error| Error::Refused(format!("ERR {error}")))
}

/// Since it was first asked, by a clock that does not step.
pub(crate) fn micros_running() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(START.elapsed().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;
    use crate::{Policy, Retry};

    fn ask(memory: &Memory, key: &[u8], policy: Policy) -> Result<Answer, Error> {
        memory.ask(Verb::Check, key, &Call { policy: policy.core(), cost: 1 })
    }

    const ONCE: Policy = Policy::fixed(1, Duration::from_secs(60));

    #[test]
    fn a_full_memory_says_so_until_a_key_has_ended_and_goes_on_with_those_it_has() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let memory = Memory::new(1, || CLOCK.load(Relaxed));
        assert!(ask(&memory, b"a", ONCE).unwrap().is_allowed());
        assert!(matches!(ask(&memory, b"b", ONCE), Err(Error::MemoryFull(1))));
        assert!(!ask(&memory, b"a", ONCE).unwrap().is_allowed());
        CLOCK.store(60_000_000, Relaxed);
        assert!(ask(&memory, b"b", ONCE).unwrap().is_allowed());
    }

    #[test]
    fn a_clock_that_steps_back_refunds_nothing_and_prolongs_the_wait_by_its_step() {
        static CLOCK: AtomicI64 = AtomicI64::new(100_000_000);
        let memory = Memory::new(9, || CLOCK.load(Relaxed));
        assert!(ask(&memory, b"a", ONCE).unwrap().is_allowed());
        CLOCK.store(90_000_000, Relaxed);
        let retry = ask(&memory, b"a", ONCE).unwrap().retry();
        assert_eq!(retry, Retry::After(Duration::from_secs(70)));
    }

    #[test]
    fn its_errors_are_those_of_the_server() {
        let refused = |result: Result<Answer, Error>| match result {
            Err(Error::Refused(text)) => text,
            other => panic!("{other:?}"),
        };
        let memory = Memory::new(9, micros_running);
        ask(&memory, b"a", ONCE).unwrap();
        let other = ask(&memory, b"a", Policy::bucket(1, Duration::from_secs(60)));
        assert_eq!(refused(other), ratelimit_harness::error_text("OtherAlgorithm"));
        let early = Memory::new(9, || -1);
        assert_eq!(refused(ask(&early, b"a", ONCE)), ratelimit_harness::error_text("Clock"));
    }
}
