//! The header fields of an answer: `Retry-After`, `RateLimit-Policy`, `RateLimit`, and the older
//! `X-RateLimit-*`.
//!
//! The middle two are those of draft-ietf-httpapi-ratelimit-headers-10, Lists of RFC 9651:
//!
//! ```text
//! RateLimit-Policy: "api";q=100;w=60
//! RateLimit: "api";r=0;t=12
//! Retry-After: 12
//! ```
//!
//! All times are whole seconds, rounded up, so a client that waits them is not early. The draft has
//! no window below a second: 500 ms is written as `w=1`.

use std::fmt::Write;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::{Answer, Pair, Policy, Quota, Retry, Source};

/// The name of the field that lists the policies.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The name of the field that lists their standings.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Adds `RateLimit-Policy`, `RateLimit` and, if denied until a time, `Retry-After`.
///
/// `name` is the name of the policy; characters other than printable ASCII become `?`. With several
/// pairs, each is an item named by the length of its window: `"api-1m", "api-1h"`. Items that are
/// there already stay, because other policies may apply to the same request.
///
/// `q` is the limit and `w` the window of the pair. `r` is the remaining cost; in a bucket with a
/// burst it may be more than `q`. `t` is the time until the same call passes, if the pair denies,
/// else the time until the pair is as if unused. A pair that never allows the call has no `t`.
/// `Retry-After` is the longest time until the same call passes, also of those that are there
/// already; there is none for a call that can never pass. If the server failed and the call was
/// allowed without being counted, the remaining cost is unknown, and there is no `RateLimit`.
///
/// ```
/// use ratelimit_client::{http::fields, Limiter, Policy};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// const API: Policy = Policy::fixed(1, Duration::from_secs(60));
/// let limiter = Limiter::memory(1000).build();
/// limiter.check("user:42", &API).await.unwrap();
/// let denied = limiter.check("user:42", &API).await.unwrap();
///
/// let mut headers = http::HeaderMap::new();
/// fields::add(&mut headers, "api", &API, &denied);
/// assert_eq!(headers["RateLimit-Policy"], r#""api";q=1;w=60"#);
/// assert_eq!(headers["RateLimit"], r#""api";r=0;t=60"#);
/// assert_eq!(headers["Retry-After"], "60");
/// # }
/// ```
pub fn add(headers: &mut HeaderMap, name: &str, policy: &Policy, answer: &Answer) {
    headers.append(RATELIMIT_POLICY, value(policy_items(name, policy)));
    if !matches!(answer.source, Source::FailedOpen(_)) {
        headers.append(RATELIMIT, value(standing_items(name, policy, answer)));
    }
    if let Retry::After(wait) = answer.retry() {
        let seconds = whole_seconds(wait).max(retry_after(headers));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// 0 without one.
fn retry_after(headers: &HeaderMap) -> u64 {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Adds `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the binding pair, for clients that know
/// only these. Limit is the most that can pass at once (in a bucket the burst). Reset is in seconds
/// from now, not a date. Fields that are there already stay: they come from a limiter further
/// inside, which may have denied.
///
/// Nothing is added if the server failed and the call was allowed without being counted.
pub fn add_legacy(headers: &mut HeaderMap, answer: &Answer) {
    let Quota { limit, remaining, reset_after } = *answer.quota();
    let is_known = !matches!(answer.source, Source::FailedOpen(_));
    if is_known && !headers.contains_key(X_LIMIT) {
        headers.insert(X_LIMIT, HeaderValue::from(limit));
        headers.insert(X_REMAINING, HeaderValue::from(remaining));
        headers.insert(X_RESET, HeaderValue::from(whole_seconds(reset_after)));
    }
}

/// The pairs that deny, by their names in the fields, each as a quoted string.
pub(super) fn violated(name: &str, policy: &Policy, answer: &Answer) -> String {
    let denies = |i: &usize| answer.standings.get(*i).is_none_or(|w| w.retry != Retry::Now);
    let denying = (0..policy.pairs().len()).filter(denies);
    denying.map(|i| item_name(name, policy, i)).collect::<Vec<_>>().join(",")
}

fn policy_items(name: &str, policy: &Policy) -> String {
    let item = |(i, pair): (usize, &Pair)| {
        let seconds = whole_seconds(Duration::from_millis(pair.window.millis()));
        format!("{};q={};w={seconds}", item_name(name, policy, i), pair.limit)
    };
    policy.pairs().iter().enumerate().map(item).collect::<Vec<_>>().join(", ")
}

fn standing_items(name: &str, policy: &Policy, answer: &Answer) -> String {
    let item = |i, quota: &Quota, retry| {
        let item = format!("{};r={}", item_name(name, policy, i), quota.remaining);
        match retry {
            Retry::After(wait) => format!("{item};t={}", whole_seconds(wait)),
            Retry::Now => format!("{item};t={}", whole_seconds(quota.reset_after)),
            Retry::Never => item,
        }
    };
    if answer.standings.is_empty() {
        return item(0, answer.quota(), answer.retry());
    }
    let standings = answer.standings.iter().enumerate();
    let items = standings.map(|(i, standing)| item(i, &standing.quota, standing.retry));
    items.collect::<Vec<_>>().join(", ")
}

/// The name of pair `i`, quoted. RFC 9651 quotes printable ASCII as JSON does.
fn item_name(name: &str, policy: &Policy, i: usize) -> String {
    let mut quoted = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    if let pairs @ [_, _, ..] = policy.pairs() {
        write!(quoted, "-{}", pairs[i].window).expect("a string has room");
    }
    quoted + "\""
}

/// Rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn value(printable: String) -> HeaderValue {
    HeaderValue::try_from(printable).expect("printable ASCII is a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Failure, Standing};

    const MINUTE: Duration = Duration::from_secs(60);
    const API: Policy = Policy::fixed(100, MINUTE);

    fn quota(limit: u64, remaining: u64, reset_ms: u64) -> Quota {
        Quota { limit, remaining, reset_after: Duration::from_millis(reset_ms) }
    }

    fn denied(quota: Quota, wait_ms: u64) -> Decision {
        Decision::Denied { quota, retry_after: Duration::from_millis(wait_ms) }
    }

    fn answer(decision: Decision) -> Answer {
        Answer { decision, standings: Vec::new(), source: Source::Module }
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        headers.iter().map(line).collect()
    }

    fn added(name: &str, policy: &Policy, answer: &Answer) -> Vec<String> {
        let mut headers = HeaderMap::new();
        add(&mut headers, name, policy, answer);
        lines(&headers)
    }

    #[test]
    fn one_pair_is_one_item_in_whole_seconds_rounded_up() {
        let burst = Policy::bucket(10, MINUTE).burst(20);
        let short = Policy::fixed(5, Duration::from_millis(500));
        let most = Policy::fixed(1_000_000_000_000, Duration::from_secs(366 * 86_400));
        let cases = [
            (API, Decision::Allowed(quota(100, 99, 60_000)), "100;w=60", "99;t=60", None),
            (API, Decision::Allowed(quota(100, 99, 59_001)), "100;w=60", "99;t=60", None),
            (API, denied(quota(100, 0, 12_000), 12_000), "100;w=60", "0;t=12", Some("12")),
            (API, denied(quota(100, 3, 1), 1), "100;w=60", "3;t=1", Some("1")),
            // The call passes before the bucket is as if unused: both fields have the earlier time.
            (burst, denied(quota(20, 0, 120_000), 5_500), "10;w=60", "0;t=6", Some("6")),
            (burst, Decision::Allowed(quota(20, 19, 6000)), "10;w=60", "19;t=6", None),
            (short, Decision::Allowed(quota(5, 4, 500)), "5;w=1", "4;t=1", None),
            // Never: no time to come back.
            (API, Decision::DeniedForever(quota(100, 100, 0)), "100;w=60", "100", None),
            (API, Decision::DeniedForever(quota(100, 99, 9000)), "100;w=60", "99", None),
            (
                most,
                Decision::Allowed(quota(1_000_000_000_000, 999_999_999_999, 31_622_400_000)),
                "1000000000000;w=31622400",
                "999999999999;t=31622400",
                None,
            ),
        ];
        for (policy, decision, q, r, retry_after) in cases {
            let mut expected = vec![
                format!("ratelimit-policy: \"api\";q={q}"),
                format!("ratelimit: \"api\";r={r}"),
            ];
            expected.extend(retry_after.map(|seconds| format!("retry-after: {seconds}")));
            assert_eq!(added("api", &policy, &answer(decision)), expected);
        }
    }

    #[test]
    fn of_several_policies_the_longest_wait_stays() {
        let mut headers = HeaderMap::new();
        for wait_ms in [2000, 9000, 5000] {
            add(&mut headers, "api", &API, &answer(denied(quota(100, 0, 9000), wait_ms)));
        }
        assert_eq!(headers[RETRY_AFTER], "9");
    }

    #[test]
    fn several_pairs_are_several_items_with_names_of_their_own() {
        let policy = Policy::fixed(5, Duration::from_millis(500))
            .and(10, Duration::from_secs(1))
            .and(100, Duration::from_secs(90))
            .and(200, Duration::from_secs(7200));
        let after = |ms| Retry::After(Duration::from_millis(ms));
        let standings = vec![
            Standing { quota: quota(5, 5, 0), retry: Retry::Now },
            Standing { quota: quota(10, 0, 300), retry: after(300) },
            Standing { quota: quota(100, 0, 80_000), retry: after(80_000) },
            Standing { quota: quota(200, 7, 7_000_000), retry: Retry::Now },
        ];
        let decision = denied(quota(100, 0, 80_000), 80_000);
        let answer = Answer { standings, ..answer(decision) };
        let expected = [
            r#"ratelimit-policy: "a-500ms";q=5;w=1, "a-1s";q=10;w=1, "a-90s";q=100;w=90, "a-2h";q=200;w=7200"#,
            r#"ratelimit: "a-500ms";r=5;t=0, "a-1s";r=0;t=1, "a-90s";r=0;t=80, "a-2h";r=7;t=7000"#,
            "retry-after: 80",
        ];
        assert_eq!(added("a", &policy, &answer), expected);
        assert_eq!(violated("a", &policy, &answer), r#""a-1s","a-90s""#);
    }

    #[test]
    fn any_name_is_a_valid_string() {
        let answer = answer(Decision::Allowed(quota(100, 99, 60_000)));
        let cases = [
            ("", r#""""#),
            ("two words", r#""two words""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("\r\nx: y\0\u{7f}é", r#""??x: y???""#),
        ];
        for (name, quoted) in cases {
            let expected = format!("ratelimit: {quoted};r=99;t=60");
            assert_eq!(added(name, &API, &answer)[1], expected);
        }
    }

    #[test]
    fn a_call_that_failed_open_has_no_ratelimit_field() {
        let decision = Decision::Allowed(quota(100, 100, 0));
        let source = Source::FailedOpen(Failure::Deadline);
        let open = Answer { source, ..answer(decision) };
        assert_eq!(added("api", &API, &open), [r#"ratelimit-policy: "api";q=100;w=60"#]);
        let mut headers = HeaderMap::new();
        add_legacy(&mut headers, &open);
        assert_eq!(headers.len(), 0);
    }

    #[test]
    fn the_older_fields_are_those_of_the_innermost_limiter() {
        let mut headers = HeaderMap::new();
        add_legacy(&mut headers, &answer(denied(quota(100, 0, 11_001), 11_001)));
        add_legacy(&mut headers, &answer(Decision::Allowed(quota(7, 6, 1000))));
        let expected =
            ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 12"];
        assert_eq!(lines(&headers), expected);
    }

    #[test]
    fn another_policy_adds_its_items() {
        let mut headers = HeaderMap::new();
        let answer = answer(Decision::Allowed(quota(100, 99, 60_000)));
        add(&mut headers, "user", &API, &answer);
        add(&mut headers, "address", &API, &answer);
        let items: Vec<_> = headers.get_all("ratelimit").iter().collect();
        assert_eq!(items, [r#""user";r=99;t=60"#, r#""address";r=99;t=60"#]);
    }
}
