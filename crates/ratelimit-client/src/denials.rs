//! Not asking when the answer is known: a denied key is denied here until its wait is over.
//!
//! Safe in every algorithm, because nothing but a reset, another policy on the same key or a step
//! of the server's clock shortens a wait: counts fall by the clock alone.

use std::sync::Mutex;
use std::time::Duration;

use crate::expiring::ExpiringMap;
use crate::sync::lock;
use crate::{Answer, Call, Decision, Policy, Retry, Source, Standing};

/// Denials by key, the latest one each.
#[derive(Debug)]
pub(crate) struct Denials {
    known: Mutex<ExpiringMap<Denial>>,
    longest_ms: u64,
}

#[derive(Debug)]
struct Denial {
    policy: Policy,
    cost: u64,
    answer: Answer,
    answered_ms: u64,
}

impl Denials {
    /// Knows at most so many keys, and none for longer than `longest`.
    pub(crate) fn new(max_keys: usize, longest: Duration) -> Self {
        let longest_ms = longest.as_millis().try_into().unwrap_or(u64::MAX);
        Self { known: Mutex::new(ExpiringMap::new(max_keys)), longest_ms }
    }

    /// The same policy, and a cost not below the denied one.
    pub(crate) fn get(&self, key: &[u8], call: &Call, now_ms: u64) -> Option<Answer> {
        let known = lock(&self.known);
        let (denial, _) = known.get(key, now_ms)?;
        (denial.policy == *call.policy && call.cost >= denial.cost).then_some(())?;
        let capacity = call.policy.pairs().iter().map(|pair| pair.burst).min()?;
        // A larger cost may be one that never passes, which is for the server to tell.
        (call.cost == denial.cost || call.cost <= capacity).then_some(())?;
        Some(later(&denial.answer, now_ms.saturating_sub(denial.answered_ms)))
    }

    /// The wait began between `asked_ms` and now: it ends here as early as it can have ended there,
    /// and is told as long as it can be.
    pub(crate) fn learn(
        &self,
        key: &[u8],
        call: &Call,
        answer: &Answer,
        asked_ms: u64,
        now_ms: u64,
    ) {
        let wait_ms = match answer.retry() {
            Retry::Now => return,
            Retry::After(wait) => wait.as_millis().try_into().unwrap_or(u64::MAX),
            Retry::Never => u64::MAX,
        };
        let end = asked_ms.saturating_add(wait_ms.min(self.longest_ms));
        if end <= now_ms {
            return;
        }
        let denial = Denial {
            policy: *call.policy,
            cost: call.cost,
            answer: answer.clone(),
            answered_ms: now_ms,
        };
        let mut known = lock(&self.known);
        // Where there is no room the server is asked again, which is no harm.
        let _ = known.insert(key, denial, end, now_ms);
    }

    pub(crate) fn forget(&self, key: &[u8]) {
        lock(&self.known).remove(key);
    }
}

/// The same answer some time later: every wait is shorter by it.
fn later(answer: &Answer, elapsed_ms: u64) -> Answer {
    let elapsed = Duration::from_millis(elapsed_ms);
    let (quota, retry) = (*answer.quota(), answer.retry());
    let pass = |window: &Standing| {
        let mut quota = window.quota;
        quota.reset_after = quota.reset_after.saturating_sub(elapsed);
        let retry = match window.retry {
            Retry::After(wait) if wait <= elapsed => Retry::Now,
            Retry::After(wait) => Retry::After(wait - elapsed),
            other => other,
        };
        Standing { quota, retry }
    };
    let windows = answer.standings.iter().map(pass).collect();
    let mut later = Answer::new(pass(&Standing { quota, retry }), windows, Source::KnownDenial);
    // Told from the later of two moments, it cannot be over before the denial is forgotten.
    if let Decision::Allowed(quota) = later.decision {
        later.decision = Decision::Denied { quota, retry_after: Duration::from_millis(1) };
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    const POLICY: Policy = Policy::fixed(5, Duration::from_secs(60));

    fn denied(retry: Retry) -> Answer {
        let reset_after = Duration::from_millis(1000);
        let quota = Quota { limit: 5, remaining: 1, reset_after };
        Answer::new(Standing { quota, retry }, Vec::new(), Source::Module)
    }

    fn after(millis: u64) -> Retry {
        Retry::After(Duration::from_millis(millis))
    }

    #[test]
    fn a_denial_holds_until_its_wait_is_over_for_the_same_policy_and_no_smaller_cost() {
        let denials = Denials::new(9, Duration::from_secs(9));
        let call = Call::new("k", &POLICY).cost(2);
        denials.learn(b"k", &call, &denied(after(1000)), 100, 150);
        let told = denials.get(b"k", &call, 400).unwrap();
        assert_eq!(told.retry(), after(750));
        assert_eq!(told.source, Source::KnownDenial);
        assert_eq!(told.quota().reset_after, Duration::from_millis(750));
        assert!(denials.get(b"k", &call, 1099).is_some());
        assert!(denials.get(b"k", &call, 1100).is_none(), "the wait may be over");
        assert!(denials.get(b"k", &call.cost(3), 400).is_some());
        assert!(denials.get(b"k", &call.cost(1), 400).is_none(), "may pass");
        assert!(denials.get(b"k", &call.cost(6), 400).is_none(), "never passes");
        let other = Policy::fixed(6, Duration::from_secs(60));
        assert!(denials.get(b"k", &Call::new("k", &other).cost(2), 400).is_none());
        assert!(denials.get(b"other", &call, 400).is_none());
        denials.forget(b"k");
        assert!(denials.get(b"k", &call, 400).is_none());
    }

    #[test]
    fn no_denial_is_known_for_longer_than_the_bound() {
        let denials = Denials::new(9, Duration::from_millis(300));
        let call = Call::new("k", &POLICY).cost(6);
        denials.learn(b"k", &call, &denied(Retry::Never), 100, 150);
        assert_eq!(denials.get(b"k", &call, 399).unwrap().retry(), Retry::Never);
        assert!(denials.get(b"k", &call, 400).is_none());
        denials.learn(b"k", &call, &denied(after(1000)), 500, 500);
        assert_eq!(denials.get(b"k", &call, 799).unwrap().retry(), after(701));
        assert!(denials.get(b"k", &call, 800).is_none());
    }

    #[test]
    fn an_allowed_call_is_no_denial_and_a_full_memory_learns_nothing() {
        let denials = Denials::new(1, Duration::from_secs(9));
        let call = Call::new("k", &POLICY);
        denials.learn(b"k", &call, &denied(Retry::Now), 0, 0);
        assert!(denials.get(b"k", &call, 0).is_none());
        denials.learn(b"k", &call, &denied(after(1000)), 0, 0);
        denials.learn(b"l", &call, &denied(after(1000)), 0, 0);
        assert!(denials.get(b"k", &call, 0).is_some() && denials.get(b"l", &call, 0).is_none());
    }
}
