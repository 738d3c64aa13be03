//! The policies: which of them apply to a request, and the keys that it counts against.

mod file;
pub(crate) mod key_by;
mod path;
pub(crate) mod words;

use std::sync::Arc;

use ratelimit_client::Policy;

use crate::telemetry::metrics::Decisions;
use key_by::{Caller, Finder, KeyBy};

pub(crate) use file::PolicyFile;

/// The policy of the settings, and the kind of key for those policies of the file that name none.
pub(crate) struct Defaults {
    pub(crate) policy: Policy,
    pub(crate) key_by: KeyBy,
}

/// One policy: which requests it applies to, what they count against, and the limit.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) decisions: Decisions,
    route: Route,
    methods: Vec<String>,
    by: KeyBy,
    finder: Finder,
}

/// One path, or all paths that begin with one.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Exactly(String),
    /// `/api/*`: `/api/` and all below. `*`: everything.
    Below(String),
}

impl Route {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some("") => Some(Self::Below(String::new())),
            Some(path) => {
                let is_path = path.starts_with('/') && path.ends_with('/') && !path.contains('*');
                is_path.then(|| Self::Below(path.to_owned()))
            }
            None => {
                let is_path = text.starts_with('/') && !text.contains(['*', '?', '#']);
                is_path.then(|| Self::Exactly(text.to_owned()))
            }
        }
    }

    /// As the file has it.
    fn text(&self) -> String {
        match self {
            Self::Exactly(route) => route.clone(),
            Self::Below(route) => format!("{route}*"),
        }
    }

    fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exactly(route) => path == route,
            Self::Below(route) => path.starts_with(route.as_str()),
        }
    }
}

impl Rule {
    /// What a request counts against; its address if it has no value of the policy's kind.
    pub(crate) fn key_or_address(&self, caller: &Caller) -> String {
        key(self, &self.finder.find(caller).unwrap_or_else(|| caller.address()))
    }

    /// The requests that it applies to: `POST /login`, `/api/*`, `*`.
    pub(crate) fn requests(&self) -> String {
        let words = self.methods.iter().cloned().chain([self.route.text()]);
        words.collect::<Vec<_>>().join(" ")
    }

    fn covers(&self, method: &str, path: &str) -> bool {
        let method_fits = self.methods.is_empty() || self.methods.iter().any(|m| m == method);
        method_fits && self.route.covers(path)
    }
}

/// All policies in order. The last is the policy of the settings, which applies to every request.
#[derive(Debug)]
pub(crate) struct Policies {
    rules: Vec<Arc<Rule>>,
}

/// A policy that applies to a request, and the key that it counts against.
pub(crate) struct Applied {
    pub(crate) rule: Arc<Rule>,
    pub(crate) key: String,
}

impl Policies {
    /// Of each kind of key that the request has, the first policy for its method and path. Without
    /// any, the policy of the settings by the client's address.
    pub(crate) fn applied(&self, caller: &Caller) -> Vec<Applied> {
        let (method, path) = (caller.method(), path::normal(caller.path()));
        let mut applied: Vec<Applied> = Vec::with_capacity(1);
        for rule in self.rules.iter().filter(|rule| rule.covers(method, &path)) {
            if applied.iter().any(|earlier| earlier.rule.by == rule.by) {
                continue;
            }
            if let Some(value) = rule.finder.find(caller) {
                applied.push(Applied { rule: Arc::clone(rule), key: key(rule, &value) });
            }
        }
        if applied.is_empty() {
            applied.push(self.fallback(&caller.address()));
        }
        applied
    }

    /// In their order.
    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The policy of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    fn fallback(&self, value: &str) -> Applied {
        let rule = self.rules.last().expect("the policy of the settings is always the last");
        Applied { rule: Arc::clone(rule), key: key(rule, value) }
    }
}

/// A key that no other policy shares: `api:ip:203.0.113.7`.
pub(crate) fn key(rule: &Rule, value: &str) -> String {
    [&rule.name, ":", value].concat()
}

/// The name of the settings' policy.
const DEFAULT: &str = "default";

/// What the metrics and the log call the checks of `/v1`, whatever their policy.
pub(crate) const V1: &str = "v1";
