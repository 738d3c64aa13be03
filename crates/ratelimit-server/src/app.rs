//! What every request needs, made once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::Uri;
use ratelimit_client::{Answer, Call, Error, Limiter};
use tokio::sync::watch;

use crate::backend::health::Health;
use crate::page::Page;
use crate::policies;
use crate::policies::Source;
use crate::settings::{from_here, Settings};
use crate::telemetry::denied::Denied;
use crate::telemetry::metrics::{Decisions, Metrics};
use crate::telemetry::sampler::Sampler;

/// The service.
pub(crate) struct App {
    pub(crate) settings: Settings,
    /// What this instance is called.
    pub(crate) instance: String,
    pub(crate) limiter: Limiter,
    pub(crate) policies: Source,
    pub(crate) metrics: Metrics,
    pub(crate) denied: Arc<Denied>,
    pub(crate) health: Health,
    pub(crate) page: Page,
    /// Which errors are logged.
    errors: Sampler,
    /// The counters of POST /v1/check.
    pub(crate) v1: Decisions,
    /// Becomes true when the process is to end.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    /// `Err`: the settings cannot be used.
    pub(crate) fn new(
        settings: Settings,
        address: SocketAddr,
        limiter: Limiter,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let denied = Arc::new(Denied::new(settings.hash_keys, settings.hash_secret.clone()));
        let health = Health::default();
        let metrics = Metrics::new(limiter.clone(), Arc::clone(&denied), health.is_up());
        let policies = policies::Source::open(&settings, &metrics)?;
        let page = Page::new(&peers(&settings, address), stopping.clone());
        let instance = settings.instance.clone();
        Ok(Self {
            instance: instance.unwrap_or_else(|| format!("ratelimit-{}", address.port())),
            v1: metrics.of_policy(policies::V1),
            errors: Sampler::default(),
            settings,
            limiter,
            policies,
            metrics,
            denied,
            health,
            page,
            stopping,
        })
    }

    /// Checks, and counts and notes what came of it.
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
        match &result {
            Ok(answer) if !answer.is_allowed() => self.denied.note(key, policy, answer.retry()),
            Ok(_) => {}
            Err(error) => self.note_error(error, policy),
        }
        result
    }

    /// What the caller or a lost Redis is to blame for is seen elsewhere.
    pub(crate) fn note_error(&self, error: &Error, policy: &str) {
        let is_known = matches!(error, Error::Cost | Error::Unavailable(_));
        if !is_known && self.errors.permits() {
            tracing::error!(%error, policy, "not decided");
        }
    }
}

/// The instances that the page sends its requests to; this one where none is named.
fn peers(settings: &Settings, address: SocketAddr) -> Vec<Uri> {
    if !settings.peers.is_empty() {
        return settings.peers.clone();
    }
    let own = format!("http://{}", from_here(address));
    vec![own.parse().expect("an address and its port")]
}
