//! Remembered denials: a denied key is denied here until its wait is over.
//!
//! This is safe with every algorithm. Only the clock makes usage fall, so only three things shorten
//! a wait: a reset, another policy on the same key, and a step of the server's clock.

use std::sync::Mutex;
use std::time::Duration;

use crate::call::Question;
use crate::expiring::ExpiringMap;
use crate::sync::lock;
use crate::time::millis;
use crate::{Answer, Decision, Policy, Quota, Retry, Source, Standing};

/// The latest denial of each key.
#[derive(Debug)]
pub(crate) struct Denials {
    known: Mutex<ExpiringMap<Denial>>,
    max_ms: u64,
}

#[derive(Debug)]
struct Denial {
    policy: Policy,
    cost: u64,
    answer: Answer,
    answered_ms: u64,
}

impl Denials {
    /// Keeps at most `max_keys` denials, and none for longer than `max_time`.
    pub(crate) fn new(max_keys: usize, max_time: Duration) -> Self {
        Self { known: Mutex::new(ExpiringMap::new(max_keys)), max_ms: millis(max_time) }
    }

    /// The denial that answers this question: of the same policy, with a cost no higher than the
    /// question's.
    pub(crate) fn get(&self, question: &Question, now_ms: u64) -> Option<Answer> {
        let known = lock(&self.known);
        let (denial, _) = known.get(&question.key, now_ms)?;
        if denial.policy != *question.policy || question.cost < denial.cost {
            return None;
        }
        let capacity = question.policy.pairs().iter().map(|pair| pair.burst).min()?;
        // A higher cost may be one that never passes. Only the server can say so.
        if question.cost != denial.cost && question.cost > capacity {
            return None;
        }
        Some(shortened(&denial.answer, now_ms.saturating_sub(denial.answered_ms)))
    }

    /// The server's wait began at some moment between `sent_ms` and `now_ms`. The entry's end is
    /// counted from `sent_ms`, so it never outlasts the server's wait. The reported wait is counted
    /// from `now_ms`, so it is never too short.
    pub(crate) fn remember(&self, question: &Question, answer: &Answer, sent_ms: u64, now_ms: u64) {
        let wait_ms = match answer.retry() {
            Retry::Now => return,
            Retry::After(wait) => millis(wait),
            Retry::Never => u64::MAX,
        };
        let end_ms = sent_ms.saturating_add(wait_ms.min(self.max_ms));
        if end_ms <= now_ms {
            return;
        }
        let denial = Denial {
            policy: *question.policy,
            cost: question.cost,
            answer: answer.clone(),
            answered_ms: now_ms,
        };
        // Without room the denial is not remembered, and the server is asked again.
        let _ = lock(&self.known).insert(&question.key, denial, end_ms, now_ms);
    }

    pub(crate) fn forget(&self, key: &[u8]) {
        lock(&self.known).remove(key);
    }
}

/// The same denial some time later: every wait is shorter by that time.
fn shortened(answer: &Answer, elapsed_ms: u64) -> Answer {
    let elapsed = Duration::from_millis(elapsed_ms);
    let shorten = |quota: Quota, retry: Retry| {
        let Quota { limit, remaining, reset_after } = quota;
        let quota = Quota { limit, remaining, reset_after: reset_after.saturating_sub(elapsed) };
        let retry = match retry {
            Retry::After(wait) if wait <= elapsed => Retry::Now,
            Retry::After(wait) => Retry::After(wait - elapsed),
            other => other,
        };
        Standing { quota, retry }
    };
    let binding = shorten(*answer.quota(), answer.retry());
    let standings = answer.standings.iter().map(|s| shorten(s.quota, s.retry)).collect();
    let mut shortened = Answer::new(binding, standings, Source::KnownDenial);
    // The entry expires before its wait can reach zero, so this is not reached. If it were, deny
    // for 1 ms rather than allow.
    if let Decision::Allowed(quota) = shortened.decision {
        shortened.decision = Decision::Denied { quota, retry_after: Duration::from_millis(1) };
    }
    shortened
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::call::Verb;

    const POLICY: Policy = Policy::fixed(5, Duration::from_secs(60));

    fn question<'a>(key: &'a str, policy: &'a Policy, cost: u64) -> Question<'a> {
        Question { verb: Verb::Check, key: Cow::Borrowed(key.as_bytes()), policy, cost }
    }

    fn of_cost(cost: u64) -> Question<'static> {
        question("k", &POLICY, cost)
    }

    fn denied(retry: Retry) -> Answer {
        let reset_after = Duration::from_millis(1000);
        let quota = Quota { limit: 5, remaining: 1, reset_after };
        Answer::new(Standing { quota, retry }, Vec::new(), Source::Module)
    }

    fn after(millis: u64) -> Retry {
        Retry::After(Duration::from_millis(millis))
    }

    #[test]
    fn a_denial_holds_for_its_policy_and_cost_until_its_wait_is_over() {
        let denials = Denials::new(9, Duration::from_secs(9));
        denials.remember(&of_cost(2), &denied(after(1000)), 100, 150);
        let known = denials.get(&of_cost(2), 400).unwrap();
        assert_eq!(known.retry(), after(750));
        assert_eq!(known.source, Source::KnownDenial);
        assert_eq!(known.quota().reset_after, Duration::from_millis(750));
        assert!(denials.get(&of_cost(2), 1099).is_some());
        assert!(denials.get(&of_cost(2), 1100).is_none(), "the wait may be over");
        assert!(denials.get(&of_cost(3), 400).is_some());
        assert!(denials.get(&of_cost(1), 400).is_none(), "may pass");
        assert!(denials.get(&of_cost(6), 400).is_none(), "never passes");
        let other = Policy::fixed(6, Duration::from_secs(60));
        assert!(denials.get(&question("k", &other, 2), 400).is_none());
        assert!(denials.get(&question("other", &POLICY, 2), 400).is_none());
        denials.forget(b"k");
        assert!(denials.get(&of_cost(2), 400).is_none());
    }

    #[test]
    fn no_denial_is_kept_for_longer_than_the_bound() {
        let denials = Denials::new(9, Duration::from_millis(300));
        denials.remember(&of_cost(6), &denied(Retry::Never), 100, 150);
        assert_eq!(denials.get(&of_cost(6), 399).unwrap().retry(), Retry::Never);
        assert!(denials.get(&of_cost(6), 400).is_none());
        denials.remember(&of_cost(6), &denied(after(1000)), 500, 500);
        assert_eq!(denials.get(&of_cost(6), 799).unwrap().retry(), after(701));
        assert!(denials.get(&of_cost(6), 800).is_none());
    }

    #[test]
    fn an_allowed_call_and_a_key_without_room_are_not_remembered() {
        let denials = Denials::new(1, Duration::from_secs(9));
        denials.remember(&of_cost(1), &denied(Retry::Now), 0, 0);
        assert!(denials.get(&of_cost(1), 0).is_none());
        denials.remember(&of_cost(1), &denied(after(1000)), 0, 0);
        let surplus = question("l", &POLICY, 1);
        denials.remember(&surplus, &denied(after(1000)), 0, 0);
        assert!(denials.get(&of_cost(1), 0).is_some() && denials.get(&surplus, 0).is_none());
    }
}
