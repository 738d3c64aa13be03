//! The file of policies: read and validated, and read again when it changes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::key_by::{Finder, KeyBy};
use super::words::{present, Object, PairWords, PolicyWords, Word, Wrong};
use super::{Defaults, Policies, Route, Rule, DEFAULT, V1};
use crate::signals::Signals;
use crate::telemetry::metrics::Metrics;

const MAX_POLICIES: usize = 1000;
/// How often the file is checked for a change.
const CHECK_EVERY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWords {
    #[serde(default)]
    policy: Vec<RuleWords>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleWords {
    name: String,
    #[serde(default = "everything")]
    route: String,
    #[serde(default)]
    methods: Vec<String>,
    by: Option<String>,
    #[serde(default)]
    limit: Word,
    #[serde(default)]
    window: Word,
    #[serde(default, deserialize_with = "present")]
    windows: Option<Vec<Object<PairWords>>>,
    #[serde(default)]
    algorithm: Word,
    #[serde(default)]
    burst: Word,
}

fn everything() -> String {
    "*".to_owned()
}

impl RuleWords {
    fn validate(self, defaults: &Defaults, metrics: &Metrics) -> Result<Rule, Wrong> {
        let Self { limit, window, windows, algorithm, burst, .. } = self;
        let by = match &self.by {
            None => defaults.key_by.clone(),
            Some(by) => KeyBy::parse(by)
                .ok_or_else(|| Wrong::new("by", format!("by {}", KeyBy::MESSAGE)))?,
        };
        let route_message =
            "route must be a path such as /login, a path with all below it such as /api/*, or *";
        let is_method = |method: &String| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        if !self.methods.iter().all(is_method) {
            return Err(Wrong::new("methods", "methods must be names such as GET, in upper case"));
        }
        Ok(Rule {
            policy: PolicyWords { limit, window, windows, algorithm, burst }.validate()?,
            decisions: metrics.of_policy(name(&self.name)?),
            route: Route::parse(&self.route).ok_or_else(|| Wrong::new("route", route_message))?,
            finder: Finder::new(&by),
            by,
            name: self.name,
            methods: self.methods,
        })
    }
}

fn name(name: &str) -> Result<&str, Wrong> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_/".contains(&b);
    let is_good = (1..=40).contains(&name.len()) && name.bytes().all(is_plain);
    let message = "name must be 1 to 40 of a to z, 0 to 9, -, _ and /, and not default or v1";
    let is_free = name != DEFAULT && name != V1;
    (is_good && is_free).then_some(name).ok_or_else(|| Wrong::new("name", message))
}

fn parse(text: &str, defaults: &Defaults, metrics: &Metrics) -> Result<Policies, String> {
    let words: FileWords = toml::from_str(text).map_err(|error| error.to_string())?;
    if words.policy.len() > MAX_POLICIES {
        return Err(format!("a file must have at most {MAX_POLICIES} policies"));
    }
    let mut names = HashSet::new();
    let mut rules = Vec::with_capacity(words.policy.len() + 1);
    for (i, words) in words.policy.into_iter().enumerate() {
        let at = format!("policy[{i}] {:?}", words.name);
        let rule =
            words.validate(defaults, metrics).map_err(|wrong| wrong.inside(&at).to_string())?;
        if !names.insert(rule.name.clone()) {
            return Err(format!("{at}.name: names must all be different"));
        }
        rules.push(Arc::new(rule));
    }
    rules.push(Arc::new(default_rule(defaults, metrics)));
    Ok(Policies { rules })
}

fn default_rule(defaults: &Defaults, metrics: &Metrics) -> Rule {
    Rule {
        name: DEFAULT.to_owned(),
        policy: defaults.policy,
        decisions: metrics.of_policy(DEFAULT),
        route: Route::Below(String::new()),
        methods: Vec::new(),
        finder: Finder::new(&defaults.key_by),
        by: defaults.key_by.clone(),
    }
}

/// The policies as they stand, and the file that they come from.
pub(crate) struct PolicyFile {
    /// `None`: only the policy of the settings.
    path: Option<PathBuf>,
    defaults: Defaults,
    /// Of the file, taken before it was first read.
    stamp: Option<Stamp>,
    current: RwLock<Arc<Policies>>,
}

impl PolicyFile {
    /// `Err`: the file cannot be used.
    pub(crate) fn open(
        path: Option<PathBuf>,
        defaults: Defaults,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let stamp = path.as_deref().and_then(stamp);
        let policies = match &path {
            Some(path) => read(path, &defaults, metrics)
                .map_err(|why| format!("POLICIES {}: {why}", path.display()))?,
            None => parse("", &defaults, metrics)?,
        };
        metrics.note_reload(true);
        Ok(Self { path, defaults, stamp, current: RwLock::new(Arc::new(policies)) })
    }

    pub(crate) fn current(&self) -> Arc<Policies> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again when it has changed, and at SIGHUP. A bad file changes nothing.
    pub(crate) async fn keep_current(&self, metrics: &Metrics, mut hangup: Signals) {
        let Some(path) = &self.path else { return };
        let mut last = self.stamp;
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => false,
                () = hangup.next() => true,
            };
            let now = stamp(path);
            if is_asked || now != last {
                last = now;
                self.reload(path, metrics);
            }
        }
    }

    fn reload(&self, path: &Path, metrics: &Metrics) {
        let policies = read(path, &self.defaults, metrics);
        metrics.note_reload(policies.is_ok());
        match policies {
            Ok(policies) => {
                let number = policies.rules.len() - 1;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
                tracing::info!(number, "policies reloaded");
            }
            Err(why) => tracing::error!(why, "policies not reloaded; keeping the previous ones"),
        }
    }
}

fn read(path: &Path, defaults: &Defaults, metrics: &Metrics) -> Result<Policies, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text, defaults, metrics)
}

/// A change of the file changes one of these: its time of modification, its length.
type Stamp = (SystemTime, u64);

/// `None`: the file is gone.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
