//! The service without HTTP: it decides, counts what it decided, and notes denials and errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ratelimit_client::{Answer, Call, Error, Limiter, Retry};
use tokio::sync::watch;

use crate::backend::health::Health;
use crate::budget::Budget;
use crate::policies::{self, Applied, Defaults, Matched, PolicyFile, Refusal, Rule};
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

/// The answer to a request.
#[derive(Default)]
pub(crate) struct Rulings {
    /// Of each policy that was asked. Empty if no policy limits the request.
    pub(crate) rulings: Vec<Ruling>,
    pub(crate) refusal: Option<Refusal>,
}

impl Rulings {
    pub(crate) fn is_allowed(&self) -> bool {
        self.refusal.is_none() && self.rulings.iter().all(|ruling| ruling.answer.is_allowed())
    }
}

/// Which results are decisions. A peek that allows is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    All,
    Denials,
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
        let defaults = Defaults {
            policy: settings.policy,
            key_by: settings.key_by.clone(),
            count_options: settings.count_options,
        };
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

    /// The request is allowed if all policies allow it, and only then any of them counts it.
    ///
    /// `Err`: a policy could not be decided, and `ON_REDIS_FAILURE` is `closed`.
    pub(crate) async fn decide(&self, matched: Matched) -> Result<Rulings, Error> {
        let mut applied = match matched {
            Ok(applied) => applied,
            Err(refusal) => return Ok(self.refuse(refusal)),
        };
        if applied.len() > 1 {
            // In a box, so that a request under one policy does not carry the room for several.
            return Box::pin(self.decide_together(applied)).await;
        }
        let Some(Applied { rule, key }) = applied.pop() else { return Ok(Rulings::default()) };
        let call = Call::new(&key, &rule.policy);
        let answer = self.check(call, &key, &rule.name, &rule.decisions).await?;
        Ok(Rulings { rulings: vec![Ruling { rule, answer }], refusal: None })
    }

    /// Known denials first, then peeks, then checks: a request that one policy denies takes nothing
    /// from the others. Between peek and check another request may take the last of a limit; then
    /// this one is denied, and the other policies have counted it.
    async fn decide_together(&self, applied: Vec<Applied>) -> Result<Rulings, Error> {
        let start = Instant::now();
        let calls = applied.iter().map(|Applied { rule, key }| Call::new(key, &rule.policy));
        let calls: Vec<_> = calls.collect();
        let known = calls.iter().map(|&call| self.limiter.known_denial(call).map(Ok));
        let known: Vec<_> = known.collect();
        if known.iter().any(Option::is_some) {
            let known = applied.iter().zip(known);
            let known = known.filter_map(|(applied, answer)| Some((applied, answer?)));
            return self.record_each(known, start, Counted::Denials);
        }
        let peeked = self.limiter.peek_each(&calls).await;
        let is_allowed =
            |answer: &Result<Answer, Error>| answer.as_ref().is_ok_and(Answer::is_allowed);
        if !peeked.iter().all(is_allowed) {
            return self.record_each(applied.iter().zip(peeked), start, Counted::Denials);
        }
        let checked = self.limiter.check_each(&calls).await;
        self.record_each(applied.iter().zip(checked), start, Counted::All)
    }

    /// `Err`: the first error.
    fn record_each<'a>(
        &self,
        results: impl Iterator<Item = (&'a Applied, Result<Answer, Error>)>,
        start: Instant,
        counted: Counted,
    ) -> Result<Rulings, Error> {
        let took = start.elapsed();
        let ruling = |(Applied { rule, key }, result): (&Applied, Result<Answer, Error>)| {
            let is_allowed = result.as_ref().is_ok_and(Answer::is_allowed);
            if !is_allowed || counted == Counted::All {
                self.record(&result, took, key, &rule.name, &rule.decisions);
            }
            Ok(Ruling { rule: Arc::clone(rule), answer: result? })
        };
        // All are recorded before the first error is returned.
        let rulings: Vec<_> = results.map(ruling).collect();
        let rulings = rulings.into_iter().collect::<Result<_, Error>>()?;
        Ok(Rulings { rulings, refusal: None })
    }

    /// Notes a blocked key as a denial.
    fn refuse(&self, refusal: Refusal) -> Rulings {
        if let Refusal::Blocked(Applied { rule, key }) = &refusal {
            rule.decisions.count_denied();
            self.denied.note(key, &rule.name, Retry::Never);
        }
        Rulings { rulings: Vec::new(), refusal: Some(refusal) }
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
        self.record(&result, start.elapsed(), key, policy, decisions);
        result
    }

    fn record(
        &self,
        result: &Result<Answer, Error>,
        took: Duration,
        key: &str,
        policy: &str,
        decisions: &Decisions,
    ) {
        self.metrics.count(decisions, result, took);
        self.fallbacks.note(result, policy, &self.limiter);
        match result {
            Ok(answer) if !answer.is_allowed() => self.denied.note(key, policy, answer.retry()),
            Ok(_) => {}
            Err(error) => self.note_error(error, policy),
        }
    }

    /// Logs an error, except a wrong cost (metrics show it) and a Redis that fails (`fallbacks` logs
    /// it).
    pub(crate) fn note_error(&self, error: &Error, policy: &str) {
        let is_reported_elsewhere = matches!(error, Error::Cost | Error::Unavailable(_));
        if !is_reported_elsewhere && self.errors.permits() {
            tracing::error!(%error, policy, "not decided");
        }
    }
}
