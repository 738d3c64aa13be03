//! The core gives the replies of `tests/vectors.txt`, with room for one pair and for eight.

use ratelimit_core::command::opens_pair;
use ratelimit_core::{check, peek, ArgumentError, CallOf, NextOf, Now, OutcomeOf};
use ratelimit_core::{Standing, StateError, Stored};
use ratelimit_harness::{
    cases, error_names, error_text, replay, Held, Reply, Request, Subject, VECTORS,
};

#[test]
fn the_core_gives_the_reply_of_every_example() {
    replay(&mut Key(None), &cases());
}

/// The errors that only the module can meet. Its own tests provoke them.
const MODULE_ERRORS: [&str; 4] = ["WrongType", "OutOfMemory", "Replication", "Panic"];

#[test]
fn every_error_of_arguments_and_state_has_an_example() {
    for name in error_names().into_iter().filter(|name| !MODULE_ERRORS.contains(name)) {
        assert!(VECTORS.lines().any(|line| line.ends_with(&format!("| error {name}"))), "{name}");
    }
}

struct Key(Option<Held>);

impl Subject for Key {
    fn plant(&mut self, _: i64, held: Option<&Held>) {
        self.0 = held.cloned();
    }

    fn send(&mut self, now_micros: i64, request: &Request) -> Reply {
        let (reply, next) = decide::<8>(self.0.as_ref(), now_micros, request);
        if !request.words.get(2).is_some_and(|word| opens_pair(word)) {
            let alone = decide::<1>(self.0.as_ref(), now_micros, request);
            assert_eq!(alone, (reply.clone(), next.clone()), "with room for one pair");
        }
        self.0 = next.or(self.0.take());
        reply
    }

    fn held(&mut self) -> Option<Held> {
        self.0.clone()
    }

    fn expires(&self) -> bool {
        false
    }
}

/// The reply and, for an allowed call, what to store.
fn decide<const N: usize>(
    held: Option<&Held>,
    now_micros: i64,
    request: &Request,
) -> (Reply, Option<Held>) {
    match outcome::<N>(held, now_micros, request) {
        Err(name) => (Reply::Error(error_text(&name).to_owned()), None),
        Ok((outcome, next)) => {
            let next = next.map(|next| Held {
                value: next.value().to_vec(),
                expiry_ms: Some(next.expiry_ms.try_into().expect("an expiry fits")),
            });
            (reply(&outcome), next)
        }
    }
}

/// `Err` has the name of the error.
fn outcome<const N: usize>(
    held: Option<&Held>,
    now_micros: i64,
    request: &Request,
) -> Result<(OutcomeOf<N>, Option<NextOf<N>>), String> {
    let words = request.words.iter().map(Vec::as_slice);
    let call = CallOf::<N>::parse(words).map_err(name::<ArgumentError>)?;
    let now = Now::from_micros(now_micros).map_err(|_| "Clock")?;
    let stored = held.map(|held| Stored {
        value: &held.value,
        expiry_ms: held.expiry_ms.map(|ms| ms.try_into().expect("an expiry fits")),
    });
    let outcome = if request.verb == "CHECK" {
        check(&call, stored, now)
    } else {
        peek(&call, stored, now).map(|outcome| (outcome, None))
    };
    outcome.map_err(name::<StateError>)
}

/// The innermost name of an error: `Limit` for `Policy(Limit)`.
fn name<E: std::fmt::Debug>(error: E) -> String {
    let debug = format!("{error:?}");
    let (_, name) = debug.rsplit_once('(').unwrap_or(("", &debug));
    name.trim_end_matches(')').to_owned()
}

fn reply<const N: usize>(outcome: &OutcomeOf<N>) -> Reply {
    let mut reply = vec![Reply::Integer(outcome.allowed().into())];
    reply.extend(numbers(outcome.binding()));
    if let standings @ [_, _, ..] = outcome.standings() {
        let each = |standing| Reply::Array(numbers(standing).to_vec());
        reply.push(Reply::Array(standings.iter().map(each).collect()));
    }
    Reply::Array(reply)
}

fn numbers(standing: &Standing) -> [Reply; 4] {
    let number = |n: u64| n.try_into().expect("a number fits");
    let Standing { limit, remaining, retry_after, reset_after_ms } = *standing;
    [number(limit), number(remaining), retry_after.to_wire(), number(reset_after_ms)]
        .map(Reply::Integer)
}
