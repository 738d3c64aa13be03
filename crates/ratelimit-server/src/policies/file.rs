//! The file of policies: its words, judged; and read again when it changes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ratelimit_client::{Algorithm, Policy};
use serde::Deserialize;

use super::{Policies, Route, Rule, DEFAULT, V1};
use crate::policies::key_by::{Finder, KeyBy};
use crate::policies::window;
use crate::policies::words::{self, Wrong, ALGORITHM_RULE};
use crate::settings::{Settings, MAX_LIMIT};
use crate::signals::Signals;
use crate::telemetry::metrics::Metrics;

const MOST_POLICIES: usize = 1000;
/// A file is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    algorithm: Option<String>,
    limit: Option<i64>,
    window: Option<TimeWords>,
    burst: Option<i64>,
    windows: Option<Vec<PairWords>>,
}

fn everything() -> String {
    "*".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairWords {
    limit: i64,
    window: TimeWords,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TimeWords {
    Seconds(u64),
    Text(String),
}

impl RuleWords {
    fn judge(self, settings: &Settings, metrics: &Metrics) -> Result<Rule, Wrong> {
        let by = match &self.by {
            None => settings.key_by.clone(),
            Some(by) => {
                KeyBy::parse(by).ok_or_else(|| Wrong::new("by", format!("by {}", KeyBy::RULE)))?
            }
        };
        let route_rule =
            "route must be a path such as /login, a path with all below it such as /api/*, or *";
        let is_method = |method: &String| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        if !self.methods.iter().all(is_method) {
            return Err(Wrong::new("methods", "methods must be names such as GET, in upper case"));
        }
        Ok(Rule {
            policy: self.policy()?,
            decisions: metrics.of_policy(name(&self.name)?),
            route: Route::parse(&self.route).ok_or_else(|| Wrong::new("route", route_rule))?,
            finder: Finder::new(&by),
            by,
            name: self.name,
            methods: self.methods,
        })
    }

    fn policy(&self) -> Result<Policy, Wrong> {
        let algorithm = match &self.algorithm {
            None => Algorithm::Fixed,
            Some(name) => {
                words::algorithm(name).ok_or_else(|| Wrong::new("algorithm", ALGORITHM_RULE))?
            }
        };
        let burst = self.burst.map(|burst| integer("burst", burst, 1)).transpose()?;
        let pairs = match (&self.limit, &self.window, &self.windows) {
            (Some(limit), Some(window), None) => vec![pair(*limit, window)?],
            (None, None, Some(windows)) => {
                let at = |(i, words): (usize, &PairWords)| {
                    pair(words.limit, &words.window)
                        .map_err(|wrong| wrong.inside(&format!("windows[{i}]")))
                };
                windows.iter().enumerate().map(at).collect::<Result<_, _>>()?
            }
            _ => return Err(Wrong::new("", "a policy has either limit and window, or windows")),
        };
        words::policy(algorithm, &pairs, burst)
    }
}

fn name(name: &str) -> Result<&str, Wrong> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_/".contains(&b);
    let is_good = (1..=40).contains(&name.len()) && name.bytes().all(is_plain);
    let rule = "name must be 1 to 40 of a to z, 0 to 9, -, _ and /, and not default or v1";
    let is_free = name != DEFAULT && name != V1;
    (is_good && is_free).then_some(name).ok_or_else(|| Wrong::new("name", rule))
}

fn pair(limit: i64, window: &TimeWords) -> Result<(u64, Duration), Wrong> {
    let limit = integer("limit", limit, 0)?;
    let window = match window {
        TimeWords::Seconds(seconds) => window::from_seconds(*seconds),
        TimeWords::Text(text) => window::parse(text),
    };
    Ok((limit, window.ok_or_else(|| Wrong::new("window", words::window_rule()))?))
}

fn integer(field: &str, number: i64, least: u64) -> Result<u64, Wrong> {
    let number = u64::try_from(number).ok().filter(|n| (least..=MAX_LIMIT).contains(n));
    let rule = || format!("{field} must be an integer between {least} and {MAX_LIMIT}");
    number.ok_or_else(|| Wrong::new(field, rule()))
}

fn parse(text: &str, settings: &Settings, metrics: &Metrics) -> Result<Policies, String> {
    let words: FileWords = toml::from_str(text).map_err(|error| error.to_string())?;
    if words.policy.len() > MOST_POLICIES {
        return Err(format!("a file must have at most {MOST_POLICIES} policies"));
    }
    let mut names = HashSet::new();
    let mut rules = Vec::with_capacity(words.policy.len() + 1);
    for (i, words) in words.policy.into_iter().enumerate() {
        let at = format!("policy[{i}] {:?}", words.name);
        let rule = words.judge(settings, metrics).map_err(|wrong| wrong.inside(&at).to_string())?;
        if !names.insert(rule.name.clone()) {
            return Err(format!("{at}.name: names must all be different"));
        }
        rules.push(Arc::new(rule));
    }
    rules.push(Arc::new(default_rule(settings, metrics)));
    Ok(Policies { rules })
}

fn default_rule(settings: &Settings, metrics: &Metrics) -> Rule {
    Rule {
        name: DEFAULT.to_owned(),
        policy: settings.policy,
        decisions: metrics.of_policy(DEFAULT),
        route: Route::Below(String::new()),
        methods: Vec::new(),
        finder: Finder::new(&settings.key_by),
        by: settings.key_by.clone(),
    }
}

/// The policies as they stand, and where they come from.
pub(crate) struct Source {
    file: Option<PathBuf>,
    /// The file's, taken before it was first read.
    stamp: Option<Stamp>,
    current: RwLock<Arc<Policies>>,
}

impl Source {
    /// `Err`: the file cannot be used.
    pub(crate) fn open(settings: &Settings, metrics: &Metrics) -> Result<Self, String> {
        let file = settings.policies.clone();
        let stamp = file.as_deref().and_then(stamp);
        let policies = match &file {
            Some(file) => read(file, settings, metrics)
                .map_err(|why| format!("POLICIES {}: {why}", file.display()))?,
            None => parse("", settings, metrics)?,
        };
        Ok(Self { file, stamp, current: RwLock::new(Arc::new(policies)) })
    }

    pub(crate) fn current(&self) -> Arc<Policies> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again whenever it has changed, or at SIGHUP. A bad file changes nothing.
    pub(crate) async fn keep_current(
        &self,
        settings: &Settings,
        metrics: &Metrics,
        mut hangup: Signals,
    ) {
        let Some(file) = &self.file else { return };
        let mut seen = self.stamp;
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = hangup.next() => true,
            };
            let now = stamp(file);
            if !asked && now == seen {
                continue;
            }
            seen = now;
            self.reload(file, settings, metrics);
        }
    }

    fn reload(&self, file: &Path, settings: &Settings, metrics: &Metrics) {
        match read(file, settings, metrics) {
            Ok(policies) => {
                let number = policies.rules.len() - 1;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
                tracing::info!(number, "policies read again");
            }
            Err(why) => tracing::error!(why, "policies not read, the old ones stay"),
        }
    }
}

fn read(file: &Path, settings: &Settings, metrics: &Metrics) -> Result<Policies, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    parse(&text, settings, metrics)
}

/// A change of the file changes one of these.
type Stamp = (SystemTime, u64);

/// A file that is gone has none.
fn stamp(file: &Path) -> Option<Stamp> {
    let facts = fs::metadata(file).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}
