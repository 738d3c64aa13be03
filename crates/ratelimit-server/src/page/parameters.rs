//! The parameters of a simulation, from the body that starts it.

use std::time::Duration;

use ratelimit_client::{Algorithm, Pair, PolicyError, PolicyRule, MAX_LIMIT};
use serde::Deserialize;

use super::traffic::{Shape, Traffic};
use crate::policies::words::{PolicyWords, Word, Wrong};

/// The most requests per second that one simulation sends, for all its clients together.
pub(crate) const MAX_RATE: u32 = 1_000;
pub(crate) const MAX_CLIENTS: u32 = 20;
pub(crate) const MAX_SECONDS: u32 = 120;

/// Valid parameters.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    /// At least one, all different.
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    /// For the bucket only.
    pub(crate) burst: Option<u64>,
    pub(crate) traffic: Traffic,
    pub(crate) length: Duration,
}

/// The body that starts a simulation, not yet validated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ParameterWords {
    algorithms: Vec<String>,
    limit: Word,
    window: Word,
    burst: Word,
    clients: Word,
    traffic: String,
    rate: Word,
    seconds: Word,
}

impl ParameterWords {
    /// `Err`: the first rule that is broken.
    pub(crate) fn validate(&self) -> Result<Parameters, Wrong> {
        let algorithms = algorithms(&self.algorithms)?;
        let burst = burst(&self.burst, &algorithms)?;
        let Pair { limit, window, .. } = self.pair(&algorithms)?;
        let window = Duration::from_millis(window.millis());
        let clients = bounded(&self.clients, "clients", MAX_CLIENTS)?;
        let shape = shape(&self.traffic)?;
        let rate = bounded(&self.rate, "rate", MAX_RATE)?;
        let length = Duration::from_secs(bounded(&self.seconds, "seconds", MAX_SECONDS)?.into());
        let keys = u64::from(clients) * algorithms.len() as u64;
        let total_rate = u64::from(rate) * keys;
        match shape {
            Shape::Boundary => fits_boundary(limit, window, keys, length)?,
            Shape::Bursty => fits_rate("bursty", total_rate, MAX_RATE / 2)?,
            Shape::Steady => fits_rate("steady", total_rate, MAX_RATE)?,
        }
        let traffic_limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let traffic = Traffic { shape, clients, rate, limit: traffic_limit, window };
        Ok(Parameters { algorithms, limit, window, burst, traffic, length })
    }

    /// The limit and the window, valid for each algorithm.
    fn pair(&self, algorithms: &[Algorithm]) -> Result<Pair, Wrong> {
        let words = |algorithm: Algorithm| PolicyWords {
            limit: self.limit.clone(),
            window: self.window.clone(),
            windows: None,
            algorithm: Word::Text(algorithm.name().to_owned()),
            burst: match algorithm {
                Algorithm::Bucket => self.burst.clone(),
                _ => Word::Missing,
            },
        };
        let policies = algorithms.iter().map(|algorithm| words(*algorithm).validate());
        let policies = policies.collect::<Result<Vec<_>, _>>()?;
        Ok(policies[0].pairs()[0])
    }
}

fn bounded(word: &Word, name: &str, max: u32) -> Result<u32, Wrong> {
    let number = word.integer(name, 1..=max.into())?;
    Ok(u32::try_from(number).expect("a number up to `max`"))
}

fn algorithms(chosen: &[String]) -> Result<Vec<Algorithm>, Wrong> {
    let wrong = || {
        let names = Algorithm::ALL.iter().map(|algorithm| page_name(*algorithm));
        let names = names.collect::<Vec<_>>().join(", ");
        let message = format!("algorithms must be a list of different algorithms: {names}");
        Wrong::new("algorithms", message)
    };
    let mut algorithms = Vec::new();
    if chosen.is_empty() {
        return Err(wrong());
    }
    for name in chosen {
        let algorithm = Algorithm::from_name(name.as_bytes()).ok_or_else(wrong)?;
        if algorithms.contains(&algorithm) {
            return Err(wrong());
        }
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

/// The name of an algorithm in the requests and the events of the page: in lower case.
pub(crate) fn page_name(algorithm: Algorithm) -> String {
    algorithm.name().to_lowercase()
}

/// `None`: not given.
fn burst(word: &Word, algorithms: &[Algorithm]) -> Result<Option<u64>, Wrong> {
    if matches!(word, Word::Missing) {
        return Ok(None);
    }
    if !algorithms.contains(&Algorithm::Bucket) {
        return Err(PolicyError::from(PolicyRule::BurstAlgorithm).into());
    }
    word.integer("burst", 1..=MAX_LIMIT).map(Some)
}

fn shape(word: &str) -> Result<Shape, Wrong> {
    match word {
        "steady" => Ok(Shape::Steady),
        "bursty" => Ok(Shape::Bursty),
        "boundary" => Ok(Shape::Boundary),
        _ => Err(Wrong::new("traffic", "traffic must be steady, bursty or boundary")),
    }
}

/// With bursty traffic one second may have the calls of two: its bound is half.
fn fits_rate(shape: &str, rate: u64, most: u32) -> Result<(), Wrong> {
    if rate > most.into() {
        let rule =
            format!("rate x clients x algorithms with {shape} traffic must be at most {most}");
        return Err(Wrong::new("rate", rule));
    }
    Ok(())
}

/// Around the edge of a window, twice the limit is sent within one second.
fn fits_boundary(limit: u64, window: Duration, keys: u64, length: Duration) -> Result<(), Wrong> {
    let most = MAX_RATE / 2;
    let wrong = |field: &str, rule: &str| {
        Err(Wrong::new(field, format!("{field} with boundary traffic {rule}")))
    };
    if limit == 0 || limit.saturating_mul(keys) > most.into() {
        let rule = format!("must be at least 1, and limit x clients x algorithms at most {most}");
        return wrong("limit", &rule);
    }
    if window < Duration::from_secs(1) {
        return wrong("window", "must be at least 1s");
    }
    if window >= length {
        return wrong("seconds", "must be more than the window, or its edge is never seen");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    /// What the page sends, with some fields replaced; `null` takes a field away.
    fn read(changes: &[(&str, Value)]) -> Result<Parameters, Wrong> {
        let mut body = json!({
            "algorithms": ["fixed", "bucket"], "limit": 10, "window": "10s", "burst": 20,
            "clients": 5, "traffic": "steady", "rate": 4, "seconds": 60,
        });
        let fields = body.as_object_mut().unwrap();
        for (field, value) in changes {
            let before = fields.remove(*field).expect("a known field");
            if !value.is_null() {
                assert_ne!(before, *value, "no change");
                fields.insert((*field).to_owned(), value.clone());
            }
        }
        serde_json::from_value::<ParameterWords>(body).expect("of the right types").validate()
    }

    #[test]
    fn reads_what_the_page_sends() {
        let usual = read(&[]).unwrap();
        assert_eq!(usual.algorithms, [Algorithm::Fixed, Algorithm::Bucket]);
        assert_eq!((usual.limit, usual.burst), (10, Some(20)));
        assert_eq!(usual.window, Duration::from_secs(10));
        assert_eq!(usual.length, Duration::from_secs(60));
        assert_eq!((usual.traffic.clients, usual.traffic.rate), (5, 4));
        assert_eq!(read(&[("burst", Value::Null)]).unwrap().burst, None);
    }

    #[test]
    fn each_field_is_held_to_its_bounds() {
        let cases = [
            ("limit", json!(0), true),
            ("limit", json!(1_000_000_000_000_u64), true),
            ("limit", json!(1_000_000_000_001_u64), false),
            ("window", json!("1ms"), true),
            ("window", json!("0ms"), false),
            ("window", json!("366d"), true),
            ("window", json!("367d"), false),
            ("window", json!("10 s"), false),
            ("window", json!("10S"), false),
            ("window", json!("18446744073709551615d"), false),
            ("burst", json!(0), false),
            ("burst", json!(1), true),
            ("clients", json!(0), false),
            ("clients", json!(20), true),
            ("clients", json!(21), false),
            ("rate", json!(0), false),
            ("rate", json!(100), true),
            ("rate", json!(101), false),
            ("rate", json!(1001), false),
            ("seconds", json!(0), false),
            ("seconds", json!(1), true),
            ("seconds", json!(120), true),
            ("seconds", json!(121), false),
            ("traffic", json!("flood"), false),
            ("algorithms", json!([]), false),
            ("algorithms", json!(["fixed", "fixed"]), false),
            ("algorithms", json!(["leaky"]), false),
            ("algorithms", json!(["bucket", "sliding", "fixed"]), true),
        ];
        for (field, value, is_valid) in cases {
            // A burst refills in any window only if it is the limit.
            let outcome = match field {
                "limit" | "window" => read(&[("burst", Value::Null), (field, value.clone())]),
                _ => read(&[(field, value.clone())]),
            };
            assert_eq!(outcome.is_ok(), is_valid, "{field}={value}");
            assert!(outcome.err().is_none_or(|wrong| wrong.field == field), "{field}={value}");
        }
    }

    #[test]
    fn hostile_values_are_rejected() {
        let values = [json!(""), json!(-1), json!("+1"), json!("٤"), json!(1e3), json!("0x10")];
        let others = [json!(99_999_999_999_999_999_999.0), json!("\0"), json!([4]), json!(true)];
        for value in values.into_iter().chain(others).chain([Value::Null]) {
            for field in ["limit", "window", "clients", "rate", "seconds"] {
                let wrong = read(&[(field, value.clone())]).unwrap_err();
                assert_eq!(wrong.field, field, "{value:?}");
            }
        }
    }

    #[test]
    fn boundary_traffic_is_bounded_and_reaches_the_edge() {
        let boundary = |field, value: Value| {
            let rate_is_not_used = ("rate", json!(1000));
            let shape = ("traffic", json!("boundary"));
            read(&[shape, ("burst", Value::Null), rate_is_not_used, (field, value)])
        };
        let cases = [
            ("limit", json!(50), None),
            ("limit", json!(51), Some("limit")),
            ("limit", json!(0), Some("limit")),
            ("window", json!("1s"), None),
            ("window", json!("999ms"), Some("window")),
            ("window", json!(60), Some("seconds")),
            ("seconds", json!(10), Some("seconds")),
            ("seconds", json!(11), None),
        ];
        for (field, value, wrong) in cases {
            let found = boundary(field, value.clone()).err().map(|wrong| wrong.field);
            assert_eq!(found.as_deref(), wrong, "{field}={value}");
        }
    }

    #[test]
    fn bursty_traffic_has_half_the_bound() {
        for (rate, is_valid) in [(50, true), (51, false)] {
            let outcome = read(&[("traffic", json!("bursty")), ("rate", json!(rate))]);
            assert_eq!(outcome.is_ok(), is_valid, "{rate}");
        }
    }

    #[test]
    fn burst_is_for_the_bucket_and_must_refill() {
        assert_eq!(read(&[("algorithms", json!(["fixed"]))]).unwrap_err().field, "burst");
        let slow = [("limit", json!(1)), ("window", json!("366d")), ("burst", json!(11))];
        assert!(read(&slow).unwrap_err().message.contains("must refill within"));
    }
}
