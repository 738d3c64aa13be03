//! Whether the backend can decide, asked once a second.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratelimit_client::{Limiter, Policy};

use crate::settings::{OnRedisFailure, Settings};
use crate::sync::lock;

const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE: Policy = Policy::fixed(1, Duration::from_secs(1));
/// Comes after the prefix. It is only read, never written.
const PROBE_KEY: &str = "probe";

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

    /// Asks the backend each second for a decision, which counts nothing.
    pub(crate) async fn keep_looking(&self, limiter: &Limiter, settings: &Settings) {
        loop {
            let state = probe(limiter).await;
            let why = state.as_ref().err().cloned();
            if self.set(state) {
                report(settings, why);
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
}

async fn probe(limiter: &Limiter) -> Result<(), String> {
    match limiter.peek(PROBE_KEY, &PROBE).await {
        Ok(answer) => answer.source.failure().map_or(Ok(()), |failure| Err(failure.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

fn report(settings: &Settings, why: Option<String>) {
    let backend = settings.target.name();
    match why {
        None => tracing::info!(backend, "the backend answers"),
        Some(why) => {
            let meanwhile = meanwhile(settings.on_failure);
            tracing::warn!(backend, why, meanwhile, "the backend does not answer");
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
