//! The same decisions in the memory of this process: the module's core, bounded in keys.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use ratelimit_core::{check, peek, Call, Now, Outcome, StateError, Stored};

use crate::call::Verb;
use crate::expiring::{lock, ExpiringMap};
use crate::{Answer, Error, Source};

/// Keys and their states, as a server would store them.
#[derive(Debug)]
pub(crate) struct Memory {
    states: Mutex<ExpiringMap<Box<[u8]>>>,
    /// Microseconds since 1970.
    clock: fn() -> i64,
}

impl Memory {
    pub(crate) fn new(most_keys: usize, clock: fn() -> i64) -> Self {
        Self { states: Mutex::new(ExpiringMap::new(most_keys)), clock }
    }

    /// What the server would answer, had it these keys.
    pub(crate) fn ask(&self, verb: Verb, key: &[u8], call: &Call) -> Result<Answer, Error> {
        let now = Now::from_micros((self.clock)())
            .ok_or_else(|| Error::Refused("ERR server clock is out of range".into()))?;
        let mut states = lock(&self.states);
        let state = states.get(key, now.millis()).map(|(value, end)| (&**value, end));
        let outcome = decide(verb, call, state, now)?;
        if let Some(next) = outcome.next() {
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
) -> Result<Outcome, Error> {
    let stored = state.map(|(value, end)| Stored { value, expiry_ms: Some(end) });
    let outcome = match verb {
        Verb::Check => check(call, stored, now),
        Verb::Peek => peek(call, stored, now),
    };
    // Only this wrote the states, so that they can be another algorithm's and nothing worse.
    outcome.map_err(|error| match error {
        StateError::OtherAlgorithm => {
            Error::Refused("ERR key holds the state of another algorithm".into())
        }
        other => Error::Refused(format!("ERR {other:?}")),
    })
}

/// The system's clock; before 1970 it is 0.
pub(crate) fn system_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratelimit_harness::error_text;

    fn refusal(clock: fn() -> i64, calls: &[&str]) -> String {
        let memory = Memory::new(9, clock);
        let ask = |line: &&str| {
            let call = Call::parse(line.split(' ').map(str::as_bytes)).expect("a valid call");
            memory.ask(Verb::Check, b"k", &call)
        };
        match calls.iter().map(ask).last() {
            Some(Err(Error::Refused(text))) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_refuses_in_the_words_of_the_server() {
        assert_eq!(refusal(|| -1, &["5 60"]), error_text("Clock"));
        let calls = ["5 60", "5 60 ALGORITHM BUCKET"];
        assert_eq!(refusal(system_micros, &calls), error_text("OtherAlgorithm"));
    }
}
