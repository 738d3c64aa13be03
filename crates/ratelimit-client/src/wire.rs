//! The words that ask a server, and its reply, taken as an answer only if it is one in every part.

use std::time::Duration;

use ratelimit_core::Algorithm;
use redis::{Cmd, Value};

use crate::error::beginning;
use crate::{Answer, Error, Policy, Quota, Retry, Source, Standing};

/// Appends the words behind the key: `limit window [limit window ...] [ALGORITHM a] [BURST b] [COST c]`.
pub(crate) fn append_words(command: &mut Cmd, policy: &Policy, cost: u64) {
    for pair in policy.pairs() {
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
    let first = policy.pairs()[0];
    if first.burst != first.limit {
        command.arg("BURST").arg(first.burst);
    }
    if cost != 1 {
        command.arg("COST").arg(cost);
    }
}

const EXPECTED: &str =
    "[allowed, limit, remaining, retry_after_ms, reset_after_ms], and behind them \
[limit, remaining, retry_after_ms, reset_after_ms] for each of several windows";

/// Later versions may append to what is read here.
pub(crate) fn parse(reply: &Value, policy: &Policy, source: Source) -> Result<Answer, Error> {
    let wrong = || Error::Reply { expected: EXPECTED, got: beginning(format_args!("{reply:?}")) };
    answer(reply, policy, source).ok_or_else(wrong)
}

fn answer(reply: &Value, policy: &Policy, source: Source) -> Option<Answer> {
    let Value::Array(items) = reply else { return None };
    let (allowed, rest) = items.split_first()?;
    let binding = window(rest)?;
    let mut bursts = policy.pairs().iter().map(|pair| pair.burst);
    bursts.any(|burst| burst == binding.quota.limit).then_some(())?;
    let is_allowed = match integer(allowed)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    (is_allowed == (binding.retry == Retry::Now)).then_some(())?;
    let windows = match policy.pairs().len() {
        1 => Vec::new(),
        _ => each_window(rest.get(4)?, policy)?,
    };
    Some(Answer::new(binding, windows, source))
}

fn each_window(item: &Value, policy: &Policy) -> Option<Vec<Standing>> {
    let Value::Array(items) = item else { return None };
    (items.len() == policy.pairs().len()).then_some(())?;
    let windows = items.iter().zip(policy.pairs()).map(|(item, pair)| match item {
        Value::Array(numbers) => window(numbers).filter(|w| w.quota.limit == pair.burst),
        _ => None,
    });
    windows.collect()
}

/// Limit, remaining, retry_after_ms, reset_after_ms.
fn window(items: &[Value]) -> Option<Standing> {
    let [limit, remaining, retry, reset, ..] = items else { return None };
    let quota = Quota {
        limit: whole(limit)?,
        remaining: whole(remaining)?,
        reset_after: Duration::from_millis(whole(reset)?),
    };
    (quota.remaining <= quota.limit).then_some(())?;
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
    use crate::Call;

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

    fn array(items: &[i64]) -> Value {
        Value::Array(items.iter().map(|&item| Value::Int(item)).collect())
    }

    fn told_of(windows: [[i64; 4]; 2]) -> Value {
        let Value::Array(mut items) = array(&[1, 5, 4, 0, 0]) else { unreachable!() };
        items.push(Value::Array(windows.iter().map(|numbers| array(numbers)).collect()));
        Value::Array(items)
    }

    fn one_window() -> Policy {
        Policy::fixed(5, Duration::from_secs(60))
    }

    #[test]
    fn a_reply_is_read_with_what_a_later_version_appends() {
        for items in [&[0, 5, 0, 48_000, 48_000][..], &[0, 5, 0, 48_000, 48_000, 9]] {
            let answer = parse(&array(items), &one_window(), Source::Module).unwrap();
            assert_eq!(answer.retry(), Retry::After(Duration::from_secs(48)));
            assert_eq!((answer.quota().limit, answer.quota().remaining), (5, 0));
            assert_eq!(answer.quota().reset_after, Duration::from_secs(48));
        }
        let several = one_window().and(50, Duration::from_secs(3600));
        let told = told_of([[5, 4, 0, 0], [50, 4, 0, 0]]);
        assert_eq!(parse(&told, &several, Source::Module).unwrap().standings[1].quota.limit, 50);
        let never = parse(&array(&[0, 5, 5, -1, 0]), &one_window(), Source::Module).unwrap();
        assert_eq!(never.retry(), Retry::Never);
        assert!(parse(&array(&[1, 5, 4, 0, 60_000]), &one_window(), Source::Module)
            .unwrap()
            .is_allowed());
    }

    #[test]
    fn what_is_no_reply_of_a_rate_limiter_is_an_error_and_never_allowed() {
        let several = one_window().and(50, Duration::from_secs(3600));
        let cases = [
            (Value::Nil, one_window(), "nil"),
            (Value::Okay, one_window(), "a status"),
            (Value::Int(1), one_window(), "an integer alone"),
            (array(&[]), one_window(), "an empty array"),
            (array(&[1, 5, 4, 0]), one_window(), "too short"),
            (array(&[2, 5, 4, 0, 0]), one_window(), "neither allowed nor denied"),
            (array(&[1, 5, 4, 7, 0]), one_window(), "allowed, with a wait"),
            (array(&[0, 5, 4, 0, 0]), one_window(), "denied, without a wait"),
            (array(&[0, 5, 4, -2, 0]), one_window(), "a wait below never"),
            (array(&[1, -5, 4, 0, 0]), one_window(), "a negative limit"),
            (array(&[1, 6, 4, 0, 0]), one_window(), "the answer to another call"),
            (array(&[1, 5, 6, 0, 0]), one_window(), "more left than the limit"),
            (array(&[1, 5, 4, 0, 0]), several, "several windows, not told of each"),
            (told_of([[5, 4, 0, 0], [51, 4, 0, 0]]), several, "another call's windows"),
            (Value::Array(vec![Value::BulkString(b"1".to_vec()); 5]), one_window(), "strings"),
        ];
        for (reply, policy, what) in cases {
            let error = parse(&reply, &policy, Source::Module).expect_err(what);
            assert!(error.to_string().starts_with("expected [allowed, limit"), "{what}: {error}");
        }
    }
}
