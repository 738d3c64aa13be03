//! A policy in a user's words: from JSON, from the file of policies, from settings, from a query.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use ratelimit_client::{
    Algorithm, ArgumentError, Policy, PolicyError, Window, MAX_LIMIT, MAX_PAIRS,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The words of a policy, not yet validated.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyWords {
    pub(crate) limit: Word,
    pub(crate) window: Word,
    /// Instead of `limit` and `window`.
    pub(crate) windows: Option<Vec<Object<PairWords>>>,
    /// `FIXED` if missing.
    pub(crate) algorithm: Word,
    pub(crate) burst: Word,
}

/// One of several pairs.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PairWords {
    limit: Word,
    window: Word,
}

/// A value of any type, so that a rule of ours answers a value of the wrong type.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Word {
    #[default]
    #[serde(skip)]
    Missing,
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

/// Which word is wrong, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// `limit`, `checks[3].windows[0].window`; empty for the whole.
    pub(crate) field: String,
    /// `limit must be an integer between 0 and 1000000000000`.
    pub(crate) message: String,
}

impl PolicyWords {
    /// `Err`: the first word that breaks a rule.
    pub(crate) fn validate(&self) -> Result<Policy, Wrong> {
        let pairs = self.pairs()?;
        let algorithm = self.algorithm()?;
        let burst = match &self.burst {
            Word::Missing => None,
            burst => Some(burst.integer("burst", 1..=MAX_LIMIT)?),
        };
        policy(algorithm, &pairs, burst)
    }

    fn pairs(&self) -> Result<Vec<(u64, Duration)>, Wrong> {
        let Some(windows) = &self.windows else {
            return Ok(vec![pair(&self.limit, &self.window)?]);
        };
        if !matches!((&self.limit, &self.window), (Word::Missing, Word::Missing)) {
            return Err(Wrong::new("windows", "windows stands instead of limit and window"));
        }
        let inside = |(i, Object(words)): (usize, &Object<PairWords>)| {
            pair(&words.limit, &words.window).map_err(|wrong| wrong.inside(&window_at(i)))
        };
        windows.iter().enumerate().map(inside).collect()
    }

    fn algorithm(&self) -> Result<Algorithm, Wrong> {
        match &self.algorithm {
            Word::Missing => Some(Algorithm::Fixed),
            Word::Text(name) => Algorithm::from_name(name.as_bytes()),
            _ => None,
        }
        .ok_or_else(|| Wrong::new("algorithm", ArgumentError::Algorithm.text()))
    }
}

fn pair(limit: &Word, window: &Word) -> Result<(u64, Duration), Wrong> {
    let limit = limit.integer("limit", 0..=MAX_LIMIT)?;
    let window = match window {
        Word::Text(text) => Window::parse(text.as_bytes()),
        Word::Number(seconds) => seconds.checked_mul(1000).and_then(Window::from_millis),
        _ => None,
    };
    let wrong = || Wrong::new("window", ArgumentError::Window.text());
    Ok((limit, length(window.ok_or_else(wrong)?)))
}

fn length(window: Window) -> Duration {
    Duration::from_millis(window.millis())
}

fn window_at(i: usize) -> String {
    format!("windows[{i}]")
}

/// The first pair gets the algorithm and the burst, the others follow.
fn policy(
    algorithm: Algorithm,
    pairs: &[(u64, Duration)],
    burst: Option<u64>,
) -> Result<Policy, Wrong> {
    let at = |i: usize, error: PolicyError| match pairs {
        [_] => Wrong::from(error),
        _ => Wrong::from(error).inside(&window_at(i)),
    };
    let Some((&(limit, window), rest)) = pairs.split_first() else {
        let message = format!("windows must be a list of 1 to {MAX_PAIRS} of {{limit, window}}");
        return Err(Wrong::new("windows", message));
    };
    let mut policy = Policy::new(algorithm, limit, window).map_err(|error| at(0, error))?;
    for (i, &(limit, window)) in rest.iter().enumerate() {
        policy = policy.try_and(limit, window).map_err(|error| at(i + 1, error))?;
    }
    match burst {
        Some(burst) => policy.try_burst(burst).map_err(Wrong::from),
        None => Ok(policy),
    }
}

/// A length of time in the form of a window: `60` (seconds), `500ms`, `1h`. `Err`: the rule.
pub(crate) fn parse_time(text: &str) -> Result<Duration, &'static str> {
    let message = ArgumentError::Window.text();
    let rule = message.strip_prefix("window ").unwrap_or(message);
    Window::parse(text.as_bytes()).map(length).ok_or(rule)
}

impl Word {
    /// A number if the text is digits and nothing else.
    pub(crate) fn of_digits(text: &str) -> Self {
        match digits(text) {
            Some(number) => Self::Number(number),
            None => Self::Text(text.to_owned()),
        }
    }

    pub(crate) fn integer(&self, field: &str, range: RangeInclusive<u64>) -> Result<u64, Wrong> {
        let number = match self {
            Self::Number(number) => Some(*number),
            _ => None,
        };
        in_range(number, range).map_err(|rule| Wrong::new(field, format!("{field} {rule}")))
    }
}

/// A number of digits and nothing else: no sign, no space.
pub(crate) fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `Err`: the rule.
pub(crate) fn in_range(number: Option<u64>, range: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    let rule = || format!("must be an integer between {least} and {most}");
    number.filter(|number| range.contains(number)).ok_or_else(rule)
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same inside something: `checks[3]`.
    pub(crate) fn inside(self, outer: &str) -> Self {
        match self.field.as_str() {
            "" => Self { field: outer.to_owned(), ..self },
            field => Self { field: format!("{outer}.{field}"), ..self },
        }
    }
}

impl From<PolicyError> for Wrong {
    fn from(error: PolicyError) -> Self {
        Self::new(error.argument().unwrap_or_default(), error.text())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// A struct that is read from an object only. Without it, serde also takes a list of the values.
#[derive(Clone, Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// For a field that may be missing, but not null: `#[serde(deserialize_with = "present")]`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
