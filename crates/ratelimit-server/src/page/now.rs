//! What one instance does now, by its own counters, for the second view of the page.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::backend::health::meanwhile;
use crate::policies::V1;
use crate::telemetry::metrics::Decisions;

/// One instance; also what an instance tells another one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Now {
    instance: String,
    backend: Backend,
    /// In the order in which they apply, then the checks of `/v1`.
    policies: Vec<Policy>,
    /// The keys denied most, as the log shows them.
    denied_most: Vec<Denied>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Backend {
    name: String,
    is_up: bool,
    /// Why it is not.
    why: Option<String>,
    /// What decides while it is not.
    meanwhile: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Policy {
    name: String,
    /// `POST /login`; `None` for `/v1`, whose callers bring their policies.
    requests: Option<String>,
    /// `100/1m sliding`
    limit: Option<String>,
    allowed: u64,
    denied: u64,
    failed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Denied {
    key: String,
    /// Never too low; see `telemetry/denied.rs`.
    count: u64,
}

impl Now {
    pub(crate) fn of(app: &App) -> Self {
        let why = app.health.why_not();
        let policies = app.policies.current();
        let in_force = policies.rules().iter().map(|rule| {
            let (requests, limit) = (Some(rule.requests()), Some(rule.policy.to_string()));
            Policy::new(&rule.name, requests, limit, &rule.decisions)
        });
        let v1 = Policy::new(V1, None, None, &app.v1);
        let denied = |(key, count)| Denied { key, count };
        Self {
            instance: app.instance.clone(),
            backend: Backend {
                name: app.settings.target.name(),
                is_up: why.is_none(),
                why,
                meanwhile: meanwhile(app.settings.on_failure).to_owned(),
            },
            policies: in_force.chain([v1]).collect(),
            denied_most: app.denied.top().into_iter().map(denied).collect(),
        }
    }
}

impl Policy {
    fn new(
        name: &str,
        requests: Option<String>,
        limit: Option<String>,
        decisions: &Decisions,
    ) -> Self {
        let [allowed, denied, failed] = decisions.counts();
        Self { name: name.to_owned(), requests, limit, allowed, denied, failed }
    }
}
