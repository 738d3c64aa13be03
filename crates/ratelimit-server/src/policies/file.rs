//! The file of policies: read and validated, and read again when it changes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use std::{fmt, fs};

use serde::Deserialize;

use super::key_by::{Finder, KeyBy};
use super::lists::KeyList;
use super::route::Route;
use super::words::{present, Object, PairWords, PolicyWords, Word, Wrong};
use super::{Defaults, Lists, Policies, Rule, DEFAULT, V1};
use crate::signals::Signals;
use crate::sync::lock;
use crate::telemetry::metrics::Metrics;

const MAX_POLICIES: usize = 1000;
/// Of one policy.
const MAX_ROUTES: usize = 100;
/// The text of a file without policies.
const WITHOUT_POLICIES: &str = "policy = []\n";
const NO_POLICY: &str = "the file has no [[policy]]; write policy = [] if it should have none";
/// How often the file is checked for a change.
const CHECK_EVERY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWords {
    /// Missing in a file that is empty, which is more often an accident than a wish.
    policy: Option<Vec<RuleWords>>,
    /// For every policy by address, that of the settings included.
    #[serde(default)]
    exempt: Vec<String>,
    #[serde(default)]
    blocked: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleWords {
    name: String,
    route: Option<String>,
    routes: Option<Vec<String>>,
    #[serde(default)]
    exact_paths: bool,
    #[serde(default)]
    methods: Vec<String>,
    by: Option<String>,
    #[serde(default)]
    exempt: Vec<String>,
    #[serde(default)]
    blocked: Vec<String>,
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

impl RuleWords {
    fn validate(self, common: &Common) -> Result<Rule, Wrong> {
        let by = match &self.by {
            None => common.defaults.key_by.clone(),
            Some(by) => KeyBy::parse(by)
                .ok_or_else(|| Wrong::new("by", format!("by {}", KeyBy::MESSAGE)))?,
        };
        let is_method = |method: &String| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        if !self.methods.iter().all(is_method) {
            return Err(Wrong::new("methods", "methods must be names such as GET, in upper case"));
        }
        let (routes, lists) = (self.routes()?, common.lists(&by, &self.exempt, &self.blocked)?);
        let Self { limit, window, windows, algorithm, burst, .. } = self;
        Ok(Rule {
            policy: PolicyWords { limit, window, windows, algorithm, burst }.validate()?,
            decisions: common.metrics.of_policy(name(&self.name)?),
            finder: Finder::new(&by),
            routes,
            lists,
            by,
            name: self.name,
            methods: self.methods,
        })
    }

    fn routes(&self) -> Result<Vec<Route>, Wrong> {
        let parse = |field: &str, text: &str| {
            let wrong = || Wrong::new(field, format!("{field} {}", Route::MESSAGE));
            Route::parse(text, self.exact_paths).ok_or_else(wrong)
        };
        match (&self.route, &self.routes) {
            (None, None) => Ok(vec![Route::everything()]),
            (Some(route), None) => Ok(vec![parse("route", route)?]),
            (None, Some(routes)) if (1..=MAX_ROUTES).contains(&routes.len()) => {
                routes.iter().map(|route| parse("routes", route)).collect()
            }
            (None, Some(_)) => {
                let message = format!("routes must be a list of 1 to {MAX_ROUTES} routes");
                Err(Wrong::new("routes", message))
            }
            (Some(_), Some(_)) => Err(Wrong::new("routes", "routes stands instead of route")),
        }
    }
}

/// What all policies of a file have in common.
struct Common<'a> {
    defaults: &'a Defaults,
    metrics: &'a Metrics,
    exempt: &'a [String],
    blocked: &'a [String],
}

impl Common<'_> {
    /// Policies by address have the lists of the file too.
    fn lists(
        &self,
        by: &KeyBy,
        exempt: &[String],
        blocked: &[String],
    ) -> Result<Option<Box<Lists>>, Wrong> {
        let list = |field: &str, common: &[String], own: &[String]| {
            let common = if *by == KeyBy::Address { common } else { &[] };
            KeyList::parse(&[common, own].concat(), by)
                .map_err(|rule| Wrong::new(field, format!("{field} {rule}")))
        };
        let exempt = list("exempt", self.exempt, exempt)?;
        let blocked = list("blocked", self.blocked, blocked)?;
        let is_empty = exempt.is_empty() && blocked.is_empty();
        Ok((!is_empty).then(|| Box::new(Lists { exempt, blocked })))
    }

    /// A request without a key of the settings' kind counts by its address, so this policy has the
    /// lists of addresses whatever its kind.
    fn default_rule(&self) -> Result<Rule, Wrong> {
        let key_by = &self.defaults.key_by;
        Ok(Rule {
            name: DEFAULT.to_owned(),
            policy: self.defaults.policy,
            decisions: self.metrics.of_policy(DEFAULT),
            routes: vec![Route::everything()],
            methods: Vec::new(),
            finder: Finder::new(key_by),
            by: key_by.clone(),
            lists: self.lists(&KeyBy::Address, &[], &[])?,
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
    let Some(policies) = words.policy else { return Err(NO_POLICY.to_owned()) };
    if policies.len() > MAX_POLICIES {
        return Err(format!("a file must have at most {MAX_POLICIES} policies"));
    }
    let common = Common { defaults, metrics, exempt: &words.exempt, blocked: &words.blocked };
    // First, so that a wrong entry at the head of the file is reported as such.
    let default = common.default_rule().map_err(|wrong| wrong.to_string())?;
    let mut names = HashSet::new();
    let mut rules = Vec::with_capacity(policies.len() + 1);
    for (i, words) in policies.into_iter().enumerate() {
        let at = format!("policy[{i}] {:?}", words.name);
        let rule = words.validate(&common).map_err(|wrong| wrong.inside(&at).to_string())?;
        if !names.insert(rule.name.clone()) {
            return Err(format!("{at}.name: names must all be different"));
        }
        rules.push(Arc::new(rule));
    }
    rules.push(Arc::new(default));
    Ok(Policies { rules, count_options: defaults.count_options })
}

/// The policies as they stand, and the file that they come from.
pub(crate) struct PolicyFile {
    /// `None`: only the policy of the settings.
    path: Option<PathBuf>,
    defaults: Defaults,
    /// Of the file, taken before it was first read.
    stamp: Option<Stamp>,
    current: RwLock<Arc<Policies>>,
    /// Of the file from which the policies were read.
    text: Mutex<String>,
}

impl PolicyFile {
    /// `Err`: the file cannot be used.
    pub(crate) fn open(
        path: Option<PathBuf>,
        defaults: Defaults,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let stamp = path.as_deref().and_then(stamp);
        let text = match &path {
            Some(path) => read(path)?,
            None => WITHOUT_POLICIES.to_owned(),
        };
        let named = |why| match &path {
            Some(path) => at(path, why),
            None => why,
        };
        let policies = parse(&text, &defaults, metrics).map_err(named)?;
        metrics.note_reload(true);
        let (current, text) = (RwLock::new(Arc::new(policies)), Mutex::new(text));
        Ok(Self { path, defaults, stamp, current, text })
    }

    pub(crate) fn current(&self) -> Arc<Policies> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again when it has changed, and at SIGHUP. A bad file changes nothing.
    pub(crate) async fn keep_current(&self, metrics: &Metrics, mut hangup: Signals) {
        let mut last = self.stamp;
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => false,
                () = hangup.next() => true,
            };
            let Some(path) = &self.path else {
                if is_asked {
                    tracing::info!("nothing to reload: POLICIES is not set");
                }
                continue;
            };
            let now = stamp(path);
            if is_asked || now != last {
                last = now;
                self.reload(path, metrics);
            }
        }
    }

    fn reload(&self, path: &Path, metrics: &Metrics) {
        let number = self.read_again(path, metrics);
        metrics.note_reload(number.is_ok());
        match number {
            Ok(number) => tracing::info!(number, "policies reloaded"),
            Err(why) => tracing::error!(why, "policies not reloaded; keeping the previous ones"),
        }
    }

    /// Returns the number of policies.
    fn read_again(&self, path: &Path, metrics: &Metrics) -> Result<usize, String> {
        let text = read(path)?;
        let mut before = lock(&self.text);
        if has_lost_its_end(&text, &before) {
            return Err(at(path, LOST_END));
        }
        let policies = parse(&text, &self.defaults, metrics).map_err(|why| at(path, why))?;
        let number = policies.rules.len() - 1;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
        *before = text;
        Ok(number)
    }
}

const LOST_END: &str =
    "the file has lost its end: it is cut in the middle of a line, or it is the \
beginning of the file before, cut inside a policy; if that is meant, add a line with a comment";

/// A cut between two policies looks like a change.
fn has_lost_its_end(text: &str, before: &str) -> bool {
    let is_whole = |text: &str| text.trim_end_matches([' ', '\t']).ends_with('\n');
    if text.trim().is_empty() {
        // This has an error of its own.
        return false;
    }
    let begins_policy = |line: &str| line.replace([' ', '\t'], "").starts_with("[[policy]]");
    let is_cut = before.strip_prefix(text.trim_end()).is_some_and(|lost| {
        let mut lost = lost.lines().map(str::trim);
        let next = lost.find(|line| !line.is_empty() && !line.starts_with('#'));
        next.is_some_and(|line| !begins_policy(line))
    });
    is_cut || is_whole(before) && !is_whole(text)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, error.to_string()))
}

fn at(path: &Path, why: impl fmt::Display) -> String {
    format!("POLICIES {}: {why}", path.display())
}

/// A change of the file changes one of these: its time of modification, its length.
type Stamp = (SystemTime, u64);

/// `None`: the file is gone.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_lost_its_end_if_it_is_cut_inside_a_policy() {
        let one = "[[policy]]\nname = \"a\"\nlimit = 1000\nwindow = 60\n";
        let two = format!("{one}\n# the second\n{one}methods = [\"GET\"]\n");
        let second = one.len() + "\n# the second\n".len();
        for (end, is_cut) in [
            (two.len(), false),
            (two.len() - 1, true),
            (two.len() - "methods = [\"GET\"]\n".len(), true),
            (second + one.len() - "0\nwindow = 60\n".len(), true),
            (second + "[[policy]]\n".len(), true),
            (second, false),
            (one.len(), false),
            (one.len() - "window = 60\n".len(), true),
        ] {
            assert_eq!(has_lost_its_end(&two[..end], &two), is_cut, "{:?}", &two[..end]);
        }
        assert!(!has_lost_its_end("[[policy]]\nlimit = 1\n", one), "another file");
        assert!(has_lost_its_end("[[policy]]\nlimit = 1", one));
        let without_end = one.trim_end();
        assert!(!has_lost_its_end("[[policy]]\nlimit = 1", without_end), "neither has one");
    }
}
