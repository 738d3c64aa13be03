//! Whether the backend can decide, tried once a second.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratelimit_client::{Limiter, Policy};

use crate::backend::target::Target;
use crate::random::random_hex;
use crate::settings::{OnRedisFailure, Settings};
use crate::sync::lock;

const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The window ends before the next probe. So each probe needs a new key in Redis, as the first
/// request of a client does: otherwise a full memory would not show.
const PROBE: Policy = Policy::fixed(1, Duration::from_millis(500));

/// The end of the script's error on a server that it cannot run on.
const TOO_OLD: &str = "the script needs Redis 7.0 or later, or Valkey";

/// A cluster fails if more than one in this many checks failed since the last probe, and
/// [`MIN_FAILED_CHECKS`] at least. One late answer is no failure of the cluster.
const MAX_FAILED_SHARE: u64 = 10;
const MIN_FAILED_CHECKS: u64 = 3;

/// The result of the last probe.
#[derive(Default)]
pub(crate) struct Health {
    /// Shared with the metrics.
    is_up: Arc<AtomicBool>,
    has_been_up: AtomicBool,
    /// `None` before the first probe.
    last: Mutex<Option<Result<(), String>>>,
}

impl Health {
    pub(crate) fn is_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_up)
    }

    /// Returns whether the state has changed.
    fn set(&self, state: Result<(), String>) -> bool {
        self.is_up.store(state.is_ok(), Relaxed);
        self.has_been_up.fetch_or(state.is_ok(), Relaxed);
        let mut last = lock(&self.last);
        let was_ok = last.as_ref().map(Result::is_ok);
        let changed = was_ok != Some(state.is_ok());
        *last = Some(state);
        changed
    }

    pub(crate) fn has_been_up(&self) -> bool {
        self.has_been_up.load(Relaxed)
    }

    pub(crate) fn why_not(&self) -> Option<String> {
        let last = lock(&self.last);
        match &*last {
            None => Some("not asked yet".to_owned()),
            Some(state) => state.as_ref().err().cloned(),
        }
    }

    /// Asks the backend each second for a decision that counts, on a key of its own. In a cluster the
    /// key is at one node, so there the outcome of the real checks speaks for the other nodes.
    pub(crate) async fn keep_looking(&self, limiter: &Limiter, settings: &Settings) {
        let is_cluster = matches!(settings.target, Target::Cluster(_));
        let process = random_hex();
        let mut before = Outcomes::of(limiter);
        for number in 0_u64.. {
            let mut state = probe(limiter, &format!("probe:{process}:{number}")).await;
            let outcomes = Outcomes::of(limiter);
            if is_cluster {
                state = state.and_then(|()| outcomes.since(&before).validate());
            }
            before = outcomes;
            let why = state.as_ref().err().cloned();
            if self.set(state) {
                report(settings, why, limiter.last_failure().as_deref());
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
}

async fn probe(limiter: &Limiter, key: &str) -> Result<(), String> {
    match limiter.check(key, &PROBE).await {
        Ok(answer) => answer.source.failure().map_or(Ok(()), |failure| Err(failure.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// How many questions to the backend were decided, and how many failed.
struct Outcomes {
    decided: u64,
    failed: u64,
}

impl Outcomes {
    fn of(limiter: &Limiter) -> Self {
        let counts = limiter.counts();
        Self {
            decided: counts.module + counts.script,
            failed: counts.deadlines + counts.connection_failures + counts.server_failures,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self { decided: self.decided - before.decided, failed: self.failed - before.failed }
    }

    fn validate(&self) -> Result<(), String> {
        let Self { decided, failed } = self;
        if *failed < MIN_FAILED_CHECKS || failed * MAX_FAILED_SHARE <= decided + failed {
            return Ok(());
        }
        Err(format!("{failed} of {} checks failed in the last second", decided + failed))
    }
}

/// `text` is that of Redis itself.
fn report(settings: &Settings, why: Option<String>, text: Option<&str>) {
    let backend = settings.target.name();
    match why {
        None => tracing::info!(backend, "the backend decides"),
        Some(_) if text.is_some_and(|text| text.ends_with(TOO_OLD)) => {
            let mend = "load the module, or use Redis 7.0 or later, or Valkey";
            tracing::error!(backend, mend, "the server can never decide: it is too old");
        }
        Some(why) => {
            let meanwhile = meanwhile(settings.on_failure);
            tracing::warn!(backend, why, text, meanwhile, "the backend does not decide");
        }
    }
}

pub(crate) fn meanwhile(on_failure: OnRedisFailure) -> &'static str {
    match on_failure {
        OnRedisFailure::Local => "each instance allows its share of each limit",
        OnRedisFailure::Open => "every request is allowed",
        OnRedisFailure::Closed => "no request is allowed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_speak_for_a_cluster_once_more_than_a_tenth_fails() {
        let is_well = |decided, failed| Outcomes { decided, failed }.validate().is_ok();
        assert!(is_well(0, 0) && is_well(100, 0) && is_well(0, 2) && is_well(27, 3));
        assert!(!is_well(0, 3) && !is_well(26, 3) && !is_well(200, 100));
    }
}
