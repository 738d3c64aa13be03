//! The service without HTTP: it decides, counts what it decided, and notes denials and errors.

use std::sync::Arc;
use std::time::Instant;

use ratelimit_client::{Answer, Call, Error, Limiter};
use tokio::sync::watch;

use crate::backend::health::Health;
use crate::budget::Budget;
use crate::policies::{self, Applied, Defaults, PolicyFile, Rule};
use crate::settings::Settings;
use crate::telemetry::denied::Denied;
use crate::telemetry::fallbacks::Fallbacks;
use crate::telemetry::metrics::{Decisions, Metrics};
use crate::telemetry::sampler::Sampler;

/// What the larger bodies of requests hold together.
const MAX_BODIES_BYTES: usize = 32 * 1024 * 1024;

/// What every request needs, made once.
pub(crate) struct App {
    pub(crate) settings: Settings,
    /// The name of this instance in answers.
    pub(crate) instance: String,
    pub(crate) limiter: Limiter,
    pub(crate) policies: PolicyFile,
    pub(crate) metrics: Metrics,
    pub(crate) denied: Arc<Denied>,
    pub(crate) health: Health,
    pub(crate) fallbacks: Fallbacks,
    /// The room for all larger bodies of requests together.
    pub(crate) bodies: Budget,
    /// Which errors are logged.
    errors: Sampler,
    /// The counters of `/v1/check`.
    pub(crate) v1: Decisions,
    /// Becomes true when the process is to end.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// The answer to a request by one policy.
pub(crate) struct Ruling {
    pub(crate) rule: Arc<Rule>,
    pub(crate) answer: Answer,
}

impl App {
    /// `port` is the one that this instance listens on. `Err`: the settings cannot be used.
    pub(crate) fn new(
        settings: Settings,
        port: u16,
        limiter: Limiter,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let denied = Arc::new(Denied::new(settings.hash_keys, settings.hash_secret.clone()));
        let health = Health::default();
        let metrics = Metrics::new(limiter.clone(), Arc::clone(&denied), health.is_up());
        let defaults = Defaults { policy: settings.policy, key_by: settings.key_by.clone() };
        let policies = PolicyFile::open(settings.policies.clone(), defaults, &metrics)?;
        let instance = settings.instance.clone();
        Ok(Self {
            instance: instance.unwrap_or_else(|| format!("ratelimit-{port}")),
            v1: metrics.of_policy(policies::V1),
            errors: Sampler::default(),
            settings,
            limiter,
            policies,
            metrics,
            denied,
            health,
            fallbacks: Fallbacks::default(),
            bodies: Budget::of_bytes(MAX_BODIES_BYTES),
            stopping,
        })
    }

    /// Asks the policies in their order, up to the first denial: the request is allowed if the last
    /// answer allows it. What the policies before a denial have counted stays counted.
    ///
    /// `Err`: a policy could not be decided, and `ON_REDIS_FAILURE` is `closed`.
    pub(crate) async fn decide(&self, applied: Vec<Applied>) -> Result<Vec<Ruling>, Error> {
        let mut rulings = Vec::with_capacity(applied.len());
        for Applied { rule, key } in applied {
            let call = Call::new(&key, &rule.policy);
            let answer = self.check(call, &key, &rule.name, &rule.decisions).await?;
            let is_allowed = answer.is_allowed();
            rulings.push(Ruling { rule, answer });
            if !is_allowed {
                break;
            }
        }
        Ok(rulings)
    }

    /// Checks, counts the result in the metrics, and notes a denial or an error in the log.
    pub(crate) async fn check(
        &self,
        call: Call<'_>,
        key: &str,
        policy: &str,
        decisions: &Decisions,
    ) -> Result<Answer, Error> {
        let start = Instant::now();
        let result = self.limiter.check_call(call).await;
        self.metrics.count(decisions, &result, start.elapsed());
        self.fallbacks.note(&result, policy, &self.limiter);
        match &result {
            Ok(answer) if !answer.is_allowed() => self.denied.note(key, policy, answer.retry()),
            Ok(_) => {}
            Err(error) => self.note_error(error, policy),
        }
        result
    }

    /// Errors of the caller are counted in metrics, and `fallbacks` logs a Redis that fails.
    pub(crate) fn note_error(&self, error: &Error, policy: &str) {
        let is_counted = matches!(error, Error::Cost | Error::Unavailable(_));
        if !is_counted && self.errors.permits() {
            tracing::error!(%error, policy, "not decided");
        }
    }
}
