//! The body of each fuzz target. The tests of the core run the same bodies on a fixed seed.

use ratelimit_core::policy::{MAX_LIMIT, MAX_PAIRS};
use ratelimit_core::time::{MAX_REFILL_MS, MAX_STORED, MAX_WINDOW_MS};
use ratelimit_core::{
    check, peek, settle, Algorithm, Call, CallOf, Next, Now, Outcome, RetryAfter, StateError,
    Stored,
};

/// The bytes are words with spaces between them. They are rejected, or they are a call within the
/// bounds, which can be typed again and reads the same.
pub fn arguments(bytes: &[u8]) {
    let Ok(call) = parse(bytes) else { return };
    assert!((1..=MAX_LIMIT).contains(&call.cost));
    let pairs = call.policy.pairs();
    assert!((1..=MAX_PAIRS).contains(&pairs.len()));
    for (i, pair) in pairs.iter().enumerate() {
        assert!(pair.limit <= MAX_LIMIT && pair.burst <= MAX_LIMIT);
        assert!((1..=MAX_WINDOW_MS).contains(&pair.window.millis()));
        assert!(pairs[..i].iter().all(|other| other.window != pair.window));
        let refill = u128::from(pair.burst) * u128::from(pair.window.millis());
        assert!(refill <= u128::from(pair.limit) * u128::from(MAX_REFILL_MS));
        let has_burst = pair.burst != pair.limit;
        assert!(!has_burst || (pairs.len() == 1 && call.policy.algorithm() == Algorithm::Bucket));
    }
    assert_eq!(parse(typed(&call).as_bytes()), Ok(call));
}

fn parse(bytes: &[u8]) -> Result<Call, ratelimit_core::ArgumentError> {
    Call::parse(bytes.split(|&byte| byte == b' '))
}

fn typed(call: &Call) -> String {
    let mut line = String::new();
    for pair in call.policy.pairs() {
        line += &format!("{} {}ms ", pair.limit, pair.window.millis());
    }
    line += &format!("cost {} algorithm {:?}", call.cost, call.policy.algorithm());
    let pair = call.policy.pairs()[0];
    if pair.burst != pair.limit {
        line += &format!(" burst {}", pair.burst);
    }
    line
}

/// The first line is `<now_us> <expiry_ms> <words of the call>`; the bytes after it are the stored
/// string. The string is rejected, or the call is decided and the outcome is possible.
pub fn state(bytes: &[u8]) {
    let Some((now, expiry_ms, call, value)) = scene(bytes) else { return };
    let stored = Some(Stored { value, expiry_ms: Some(expiry_ms) });
    let peeked = peek(&call, stored, now);
    let checked = check(&call, stored, now);
    agrees_with_room_for_one(&call, stored, now, &checked);
    agrees_with_settle(&call, stored, now, &checked);
    let (peeked, (checked, next)) = match (peeked, checked) {
        (Ok(peeked), Ok(checked)) => (peeked, checked),
        (peeked, checked) => return assert_eq!(peeked.err(), checked.err()),
    };
    assert_eq!(peeked.allowed(), checked.allowed());
    assert_eq!(next.is_some(), checked.allowed());
    is_possible(&call, &peeked);
    is_possible(&call, &checked);
    match next {
        Some(next) => {
            assert!((now.millis() + 1..=MAX_STORED).contains(&next.expiry_ms));
            let stored = Stored { value: next.value(), expiry_ms: Some(next.expiry_ms) };
            let again = peek(&call, Some(stored), now).expect("it reads what it wrote");
            assert_eq!(usage(&again), usage(&checked));
        }
        None => {
            assert_eq!(peeked.standings(), checked.standings());
            announces_its_wait(&call, stored, now, &checked);
        }
    }
}

fn scene(bytes: &[u8]) -> Option<(Now, u64, Call, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let mut words = bytes[..end].splitn(3, |&byte| byte == b' ');
    let mut number = || core::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
    let now = Now::from_micros(number()?.try_into().ok()?).ok()?;
    let expiry_ms = number()?;
    Some((now, expiry_ms, parse(words.next()?).ok()?, &bytes[end + 1..]))
}

/// With room for one pair, which is how nearly every call runs, the decision is the same.
fn agrees_with_room_for_one(
    call: &Call,
    stored: Option<Stored>,
    now: Now,
    checked: &Result<(Outcome, Option<Next>), StateError>,
) {
    let Ok(one) = CallOf::<1>::parse(typed(call).split(' ').map(str::as_bytes)) else { return };
    match (check(&one, stored, now), checked) {
        (Ok((one, next)), Ok((many, next_of_many))) => {
            assert_eq!(one.standings(), many.standings());
            let next = next.as_ref().map(|next| next.value());
            assert_eq!(next, next_of_many.as_ref().map(Next::value));
        }
        (one, many) => assert_eq!(one.err(), many.as_ref().err().copied()),
    }
}

/// A call that is settled and then consumed has the same outcome as in one step.
fn agrees_with_settle(
    call: &Call,
    stored: Option<Stored>,
    now: Now,
    checked: &Result<(Outcome, Option<Next>), StateError>,
) {
    let settled = settle(call, stored, now);
    let (settled, (outcome, next)) = match (settled, checked) {
        (Ok(settled), Ok(checked)) => (settled, checked),
        (settled, checked) => return assert_eq!(settled.err(), checked.as_ref().err().copied()),
    };
    assert_eq!(settled.allowed(), outcome.allowed());
    let peeked = peek(call, stored, now).expect("it was read before");
    assert_eq!(settled.clone().outcome().standings(), peeked.standings());
    let Some(next) = next else { return };
    let (consumed, stored_by_it) = settled.consume();
    assert_eq!(consumed.standings(), outcome.standings());
    assert_eq!(stored_by_it.value(), next.value());
    assert_eq!(stored_by_it.expiry_ms, next.expiry_ms);
    let plain = core::str::from_utf8(next.value()).expect("ASCII").parse().ok();
    assert_eq!(next.plain_count(), plain);
}

fn is_possible(call: &Call, outcome: &Outcome) {
    assert_eq!(outcome.standings().len(), call.policy.pairs().len());
    assert!(outcome.standings().contains(outcome.binding()));
    for (standing, pair) in outcome.standings().iter().zip(call.policy.pairs()) {
        assert_eq!(standing.limit, pair.burst);
        assert!(standing.remaining <= standing.limit);
        assert_ne!(standing.retry_after, RetryAfter::Millis(0));
        assert_eq!(standing.retry_after == RetryAfter::Never, call.cost > pair.burst);
        assert!(standing.reset_after_ms <= MAX_STORED);
    }
}

fn usage(outcome: &Outcome) -> Vec<(u64, u64)> {
    outcome.standings().iter().map(|s| (s.remaining, s.reset_after_ms)).collect()
}

/// The call is allowed at the end of its wait, and denied one millisecond before. There are two
/// exceptions to the second: a plain count may belong to another pair at another moment, and the
/// key may expire before the wait ends.
fn announces_its_wait(call: &Call, stored: Option<Stored>, now: Now, outcome: &Outcome) {
    let RetryAfter::Millis(wait_ms) = outcome.binding().retry_after else { return };
    let later = |ms: u64| Now::from_micros((now.micros() + ms * 1000) as i64).ok();
    let Some(then) = later(wait_ms) else { return };
    let passes = |then| peek(call, stored, then).expect("it was read before").allowed();
    assert!(passes(then));
    let is_plain = stored.is_some_and(|stored| stored.value[0].is_ascii_digit());
    let (Some(before), Some(expiry_ms)) =
        (later(wait_ms - 1), stored.and_then(|stored| stored.expiry_ms))
    else {
        return;
    };
    if before.millis() < expiry_ms && !(is_plain && call.policy.pairs().len() > 1) {
        assert!(!passes(before));
    }
}
