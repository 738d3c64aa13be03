//! The policies: which of them apply to a request, and the keys that it counts against.

mod file;
pub(crate) mod key_by;
mod lists;
mod path;
mod route;
pub(crate) mod words;

use std::sync::Arc;

use axum::http::HeaderName;
use ratelimit_client::Policy;

use crate::telemetry::metrics::Decisions;
use key_by::{Caller, Finder, KeyBy, TwoLines};
use lists::{KeyList, Listed};
use path::RequestPath;
use route::Route;

pub(crate) use file::PolicyFile;

/// What the settings say of policies.
pub(crate) struct Defaults {
    /// The policy `default`.
    pub(crate) policy: Policy,
    /// The kind of key for those policies of the file that name none.
    pub(crate) key_by: KeyBy,
    /// Whether a request with the method OPTIONS counts.
    pub(crate) count_options: bool,
}

/// One policy: which requests it applies to, what they count against, and the limit.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) decisions: Decisions,
    routes: Vec<Route>,
    methods: Vec<String>,
    by: KeyBy,
    finder: Finder,
    /// `None` if the policy counts every key.
    lists: Option<Box<Lists>>,
}

#[derive(Debug)]
struct Lists {
    exempt: KeyList,
    blocked: KeyList,
}

impl Rule {
    fn covers(&self, method: &str, path: &RequestPath) -> bool {
        self.covers_method(method) && self.routes.iter().any(|route| route.covers(path))
    }

    /// The requests that it applies to: `POST /login`, `/api/*`, `*`.
    pub(crate) fn requests(&self) -> String {
        let routes = self.routes.iter().map(|route| route.text().to_owned());
        let words = self.methods.iter().cloned().chain(routes);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Servers answer HEAD by the code of GET.
    fn covers_method(&self, method: &str) -> bool {
        let fits = |own: &String| own == method || own == "GET" && method == "HEAD";
        self.methods.is_empty() || self.methods.iter().any(fits)
    }

    /// `is_address`: the value is the client's address. A key on both lists is blocked.
    fn listed(&self, value: &str, is_address: bool, caller: &Caller) -> Listed {
        let Some(lists) = &self.lists else { return Listed::No };
        let client = is_address.then(|| caller.client());
        if lists.blocked.has(value, client) {
            return Listed::Blocked;
        }
        if lists.exempt.has(value, client) {
            Listed::Exempt
        } else {
            Listed::No
        }
    }

    fn applied(self: &Arc<Self>, value: &str) -> Applied {
        Applied { rule: Arc::clone(self), key: [&self.name, ":", value].concat() }
    }
}

/// All policies in order. The last is the policy of the settings, which applies to every request.
#[derive(Debug)]
pub(crate) struct Policies {
    rules: Vec<Arc<Rule>>,
    count_options: bool,
}

/// A policy that applies to a request, and the key that it counts against, which no other policy
/// shares: `api:ip:203.0.113.7`.
pub(crate) struct Applied {
    pub(crate) rule: Arc<Rule>,
    pub(crate) key: String,
}

/// A request that no limit decides.
pub(crate) enum Refusal {
    /// The policy blocks its key.
    Blocked(Applied),
    TwoLines(HeaderName),
}

impl From<TwoLines> for Refusal {
    fn from(TwoLines(header): TwoLines) -> Self {
        Self::TwoLines(header)
    }
}

/// The policies that apply to a request.
pub(crate) type Matched = Result<Vec<Applied>, Refusal>;

impl Policies {
    /// In their order.
    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Of each kind of key that the request has, the first policy for its method and path. Without
    /// any, the policy of the settings by the client's address.
    pub(crate) fn applied(&self, caller: &Caller) -> Matched {
        let method = caller.method();
        if self.skips(method) {
            return Ok(Vec::new());
        }
        let path = RequestPath::new(caller.path());
        let mut applied: Vec<Applied> = Vec::with_capacity(1);
        let mut exempt: Vec<&KeyBy> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.covers(method, &path)) {
            let has_applied = applied.iter().any(|earlier| earlier.rule.by == rule.by);
            if has_applied || exempt.contains(&&rule.by) {
                continue;
            }
            let Some(value) = rule.finder.find(caller)? else { continue };
            match rule.listed(&value, rule.by == KeyBy::Address, caller) {
                Listed::No => applied.push(rule.applied(&value)),
                Listed::Exempt => exempt.push(&rule.by),
                Listed::Blocked => return Err(Refusal::Blocked(rule.applied(&value))),
            }
        }
        if applied.is_empty() && exempt.is_empty() {
            let rule = self.rules.last().expect("the policy of the settings is always the last");
            return alone(rule, &caller.address(), true, caller);
        }
        Ok(applied)
    }

    /// The policy of this name alone, by its own kind of key or by a given value. `None`: there is
    /// no such policy.
    pub(crate) fn chosen(
        &self,
        name: &str,
        value: Option<&str>,
        caller: &Caller,
    ) -> Option<Matched> {
        let rule = self.rules.iter().find(|rule| rule.name == name)?;
        if self.skips(caller.method()) {
            return Some(Ok(Vec::new()));
        }
        if let Some(value) = value {
            return Some(alone(rule, value, false, caller));
        }
        Some(match rule.finder.find(caller) {
            Ok(Some(value)) => alone(rule, &value, rule.by == KeyBy::Address, caller),
            Ok(None) => alone(rule, &caller.address(), true, caller),
            Err(two_lines) => Err(two_lines.into()),
        })
    }

    fn skips(&self, method: &str) -> bool {
        !self.count_options && method == "OPTIONS"
    }
}

fn alone(rule: &Arc<Rule>, value: &str, is_address: bool, caller: &Caller) -> Matched {
    match rule.listed(value, is_address, caller) {
        Listed::No => Ok(vec![rule.applied(value)]),
        Listed::Exempt => Ok(Vec::new()),
        Listed::Blocked => Err(Refusal::Blocked(rule.applied(value))),
    }
}

/// The name of the settings' policy.
const DEFAULT: &str = "default";

/// What the metrics and the log call the checks of `/v1`, whatever their policy.
pub(crate) const V1: &str = "v1";
