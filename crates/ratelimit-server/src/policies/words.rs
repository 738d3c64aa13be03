//! A policy of words that come from outside, each judged by name.

use std::fmt;
use std::time::Duration;

use ratelimit_client::{Algorithm, Policy, PolicyError};

use crate::policies::window;

/// Which word is wrong, and the rule that it breaks, which begins with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// `limit`, `checks[3].windows[0].window`.
    pub(crate) field: String,
    /// `limit must be an integer between 0 and 1000000000000`.
    pub(crate) rule: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// The same inside something: `checks[3]`.
    pub(crate) fn inside(self, outer: &str) -> Self {
        match self.field.as_str() {
            "" => Self { field: outer.to_owned(), ..self },
            field => Self { field: format!("{outer}.{field}"), ..self },
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.rule),
            field => write!(f, "{field}: {}", self.rule),
        }
    }
}

pub(crate) fn window_rule() -> String {
    format!("window {}", window::RULE)
}

/// `FIXED`, `SLIDING` or `BUCKET`, in any case.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    match name.to_ascii_uppercase().as_str() {
        "FIXED" => Some(Algorithm::Fixed),
        "SLIDING" => Some(Algorithm::Sliding),
        "BUCKET" => Some(Algorithm::Bucket),
        _ => None,
    }
}

pub(crate) const ALGORITHM_RULE: &str = "algorithm must be FIXED, SLIDING or BUCKET";

/// The first pair has the algorithm and the burst; the others follow.
pub(crate) fn policy(
    algorithm: Algorithm,
    pairs: &[(u64, Duration)],
    burst: Option<u64>,
) -> Result<Policy, Wrong> {
    let at = |i: usize, error: PolicyError| match pairs {
        [_] => wrong(error),
        _ => wrong(error).inside(&format!("windows[{i}]")),
    };
    let Some((&(limit, window), rest)) = pairs.split_first() else {
        return Err(Wrong::new("windows", "windows must have 1 to 8 limit and window pairs"));
    };
    let first = match algorithm {
        Algorithm::Fixed => Policy::try_fixed(limit, window),
        Algorithm::Sliding => Policy::try_sliding(limit, window),
        Algorithm::Bucket => Policy::try_bucket(limit, window),
    };
    let mut policy = first.map_err(|error| at(0, error))?;
    for (i, &(limit, window)) in rest.iter().enumerate() {
        policy = policy.try_and(limit, window).map_err(|error| at(i + 1, error))?;
    }
    match burst {
        Some(burst) => policy.try_burst(burst).map_err(wrong),
        None => Ok(policy),
    }
}

fn wrong(error: PolicyError) -> Wrong {
    let field = match error {
        PolicyError::Limit => "limit",
        PolicyError::Window | PolicyError::SameWindow => "window",
        PolicyError::TooManyWindows => "",
        _ => "burst",
    };
    Wrong::new(field, error.rule())
}
