//! The words that ask a server, and its reply. A reply is an answer only if every part of it is
//! what a rate limiter can answer to this call.

use std::time::Duration;

use redis::{Cmd, Value};

use crate::call::Question;
use crate::error::Unanswered;
use crate::{Algorithm, Answer, Failure, Policy, Quota, Retry, Source, Standing};

/// Appends the words after the key: `limit window [limit window ...] [ALGORITHM a] [BURST b]
/// [COST c]`. What is the default is left out.
pub(crate) fn append_words(command: &mut Cmd, question: &Question) {
    for pair in question.policy.pairs() {
        command.arg(pair.limit);
        // Seconds have the shortest form.
        match pair.window.millis() {
            millis if millis % 1000 == 0 => command.arg(millis / 1000),
            millis => command.arg(format!("{millis}ms")),
        };
    }
    if question.policy.algorithm() != Algorithm::Fixed {
        command.arg("ALGORITHM").arg(question.policy.algorithm().name());
    }
    if let Some(burst) = question.policy.own_burst() {
        command.arg("BURST").arg(burst);
    }
    if question.cost != 1 {
        command.arg("COST").arg(question.cost);
    }
}

const EXPECTED: &str =
    "[allowed, limit, remaining, retry_after_ms, reset_after_ms], and after them \
[limit, remaining, retry_after_ms, reset_after_ms] for each of several pairs";

/// Reads a reply. Numbers after the expected ones are ignored: a later version may append some.
/// Any other reply leaves the call undecided, so it is a failure of the server.
pub(crate) fn parse(reply: &Value, policy: &Policy, source: Source) -> Result<Answer, Unanswered> {
    let wrong = || {
        let text = format!("expected {EXPECTED}, but the server answered {}", form(reply));
        Unanswered::Failed(Failure::Server, text)
    };
    answer(reply, policy, source).ok_or_else(wrong)
}

/// The form of a reply, without any of its content.
fn form(reply: &Value) -> String {
    match reply {
        Value::Nil => "nil".to_owned(),
        Value::Int(_) => "an integer".to_owned(),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string".to_owned(),
        _ => "another type".to_owned(),
    }
}

fn answer(reply: &Value, policy: &Policy, source: Source) -> Option<Answer> {
    let Value::Array(items) = reply else { return None };
    let (allowed, rest) = items.split_first()?;
    let binding = standing(rest)?;
    if policy.pairs().iter().all(|pair| pair.burst != binding.quota.limit) {
        return None;
    }
    let is_allowed = match integer(allowed)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    if is_allowed != (binding.retry == Retry::Now) {
        return None;
    }
    let standings = match policy.pairs() {
        [_] => Vec::new(),
        _ => standings(rest.get(4)?, policy)?,
    };
    Some(Answer::new(binding, standings, source))
}

fn standings(item: &Value, policy: &Policy) -> Option<Vec<Standing>> {
    let Value::Array(items) = item else { return None };
    if items.len() != policy.pairs().len() {
        return None;
    }
    let standings = items.iter().zip(policy.pairs()).map(|(item, pair)| match item {
        Value::Array(numbers) => standing(numbers).filter(|s| s.quota.limit == pair.burst),
        _ => None,
    });
    standings.collect()
}

/// Reads limit, remaining, retry_after_ms, reset_after_ms.
fn standing(items: &[Value]) -> Option<Standing> {
    let [limit, remaining, retry, reset, ..] = items else { return None };
    let quota = Quota {
        limit: whole(limit)?,
        remaining: whole(remaining)?,
        reset_after: Duration::from_millis(whole(reset)?),
    };
    if quota.remaining > quota.limit {
        return None;
    }
    let retry = match integer(retry)? {
        -1 => Retry::Never,
        0 => Retry::Now,
        millis => Retry::After(Duration::from_millis(millis.try_into().ok()?)),
    };
    Some(Standing { quota, retry })
}

fn whole(item: &Value) -> Option<u64> {
    integer(item)?.try_into().ok()
}

fn integer(item: &Value) -> Option<i64> {
    match item {
        Value::Int(integer) => Some(*integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use redis::Arg;

    use super::*;
    use crate::call::{KeySpace, Verb};
    use crate::Call;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_words_are_those_of_the_command() {
        let cases = [
            (Policy::fixed(5, MINUTE), 1, "5 60"),
            (Policy::fixed(5, Duration::from_millis(1500)), 2, "5 1500ms COST 2"),
            (Policy::sliding(5, MINUTE), 1, "5 60 ALGORITHM SLIDING"),
            (Policy::bucket(5, MINUTE).burst(9), 1, "5 60 ALGORITHM BUCKET BURST 9"),
            (Policy::fixed(5, MINUTE).and(50, 60 * MINUTE), 1, "5 60 50 3600"),
        ];
        for (policy, cost, expected) in cases {
            let call = Call::new("k", &policy).cost(cost);
            let question = Question::new(Verb::Check, call, &KeySpace::default()).unwrap();
            assert_eq!(words(&question), expected);
            let parsed = ratelimit_core::Call::parse(expected.split(' ').map(str::as_bytes));
            assert_eq!(parsed, Ok(question.to_core()));
        }
    }

    fn words(question: &Question) -> String {
        let mut command = Cmd::new();
        append_words(&mut command, question);
        let words = command.args_iter().map(|word| match word {
            Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
            _ => panic!("a cursor"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn array(items: &[i64]) -> Value {
        Value::Array(items.iter().map(|&item| Value::Int(item)).collect())
    }

    fn reply_with_pairs(pairs: [[i64; 4]; 2]) -> Value {
        let Value::Array(mut items) = array(&[1, 5, 4, 0, 0]) else { unreachable!() };
        items.push(Value::Array(pairs.iter().map(|numbers| array(numbers)).collect()));
        Value::Array(items)
    }

    fn one_pair() -> Policy {
        Policy::fixed(5, MINUTE)
    }

    fn two_pairs() -> Policy {
        one_pair().and(50, 60 * MINUTE)
    }

    #[test]
    fn a_reply_may_have_numbers_of_a_later_version_behind_it() {
        for items in [&[0, 5, 0, 48_000, 48_000][..], &[0, 5, 0, 48_000, 48_000, 9]] {
            let answer = parse(&array(items), &one_pair(), Source::Module).unwrap();
            assert_eq!(answer.retry(), Retry::After(Duration::from_secs(48)));
            assert_eq!((answer.quota().limit, answer.quota().remaining), (5, 0));
            assert_eq!(answer.quota().reset_after, Duration::from_secs(48));
        }
        let reply = reply_with_pairs([[5, 4, 0, 0], [50, 4, 0, 0]]);
        let answer = parse(&reply, &two_pairs(), Source::Module).unwrap();
        assert_eq!(answer.standings[1].quota.limit, 50);
        let never = parse(&array(&[0, 5, 5, -1, 0]), &one_pair(), Source::Module).unwrap();
        assert_eq!(never.retry(), Retry::Never);
        let allowed = parse(&array(&[1, 5, 4, 0, 60_000]), &one_pair(), Source::Module).unwrap();
        assert!(allowed.is_allowed());
    }

    #[test]
    fn any_other_reply_is_a_failure_and_never_allowed() {
        let cases = [
            (Value::Nil, one_pair(), "nil"),
            (Value::Okay, one_pair(), "a status"),
            (Value::Int(1), one_pair(), "only an integer"),
            (array(&[]), one_pair(), "an empty array"),
            (array(&[1, 5, 4, 0]), one_pair(), "too short"),
            (array(&[2, 5, 4, 0, 0]), one_pair(), "neither allowed nor denied"),
            (array(&[1, 5, 4, 7, 0]), one_pair(), "allowed, with a wait"),
            (array(&[0, 5, 4, 0, 0]), one_pair(), "denied, without a wait"),
            (array(&[0, 5, 4, -2, 0]), one_pair(), "a wait below never"),
            (array(&[1, -5, 4, 0, 0]), one_pair(), "a negative limit"),
            (array(&[1, 6, 4, 0, 0]), one_pair(), "the answer to another call"),
            (array(&[1, 5, 6, 0, 0]), one_pair(), "more left than the limit"),
            (array(&[1, 5, 4, 0, 0]), two_pairs(), "two pairs, without their numbers"),
            (reply_with_pairs([[5, 4, 0, 0], [51, 4, 0, 0]]), two_pairs(), "other pairs"),
            (Value::Array(vec![Value::BulkString(b"1".to_vec()); 5]), one_pair(), "strings"),
        ];
        for (reply, policy, what) in cases {
            match parse(&reply, &policy, Source::Module).expect_err(what) {
                Unanswered::Failed(Failure::Server, text) => {
                    assert!(text.starts_with("expected [allowed, limit"), "{what}: {text}");
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}
