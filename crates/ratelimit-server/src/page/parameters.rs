//! The parameters of a simulation, from the query of its URL.

use std::time::Duration;

use ratelimit_client::{Algorithm, Pair, PolicyError, PolicyRule};

use super::traffic::{Shape, Traffic};
use crate::policies::words::{
    algorithm, algorithm_name, PolicyWords, Word, Wrong, ALGORITHMS, MAX_LIMIT,
};

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

const FIELDS: [&str; 8] =
    ["algorithms", "limit", "window", "burst", "clients", "traffic", "rate", "seconds"];

impl Parameters {
    /// `Err`: the first rule that is broken.
    pub(crate) fn read(query: &[(String, String)]) -> Result<Self, Wrong> {
        check_fields(query)?;
        let algorithms = algorithms(field(query, "algorithms"))?;
        let burst = burst(field(query, "burst"), &algorithms)?;
        let Pair { limit, window, .. } = pair(query, &algorithms, burst)?;
        let window = Duration::from_millis(window.millis());
        let clients = bounded(query, "clients", MAX_CLIENTS)?;
        let shape = shape(field(query, "traffic"))?;
        let rate = bounded(query, "rate", MAX_RATE)?;
        let length = Duration::from_secs(bounded(query, "seconds", MAX_SECONDS)?.into());
        let keys = u64::from(clients) * algorithms.len() as u64;
        let total_rate = u64::from(rate) * keys;
        match shape {
            Shape::Boundary => fits_boundary(limit, window, keys, length)?,
            Shape::Bursty => fits_rate("bursty", total_rate, MAX_RATE / 2)?,
            Shape::Steady => fits_rate("steady", total_rate, MAX_RATE)?,
        }
        let traffic_limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let traffic = Traffic { shape, clients, rate, limit: traffic_limit, window };
        Ok(Self { algorithms, limit, window, burst, traffic, length })
    }
}

fn check_fields(query: &[(String, String)]) -> Result<(), Wrong> {
    for (i, (field, _)) in query.iter().enumerate() {
        let Some(known) = FIELDS.iter().find(|known| *known == field) else {
            let message = format!("unknown field; expected one of {}", FIELDS.join(", "));
            return Err(Wrong::new("", message));
        };
        if query[..i].iter().any(|(earlier, _)| earlier == field) {
            return Err(Wrong::new(*known, format!("{known} is given twice")));
        }
    }
    Ok(())
}

/// Empty if missing.
fn field<'a>(query: &'a [(String, String)], name: &str) -> &'a str {
    let found = query.iter().find(|(field, _)| field == name);
    found.map_or("", |(_, value)| value)
}

fn bounded(query: &[(String, String)], name: &str, max: u32) -> Result<u32, Wrong> {
    let number = integer_word(field(query, name)).integer(name, 1..=max.into())?;
    Ok(u32::try_from(number).expect("a number up to `max`"))
}

/// The limit and the window, valid for each algorithm.
fn pair(
    query: &[(String, String)],
    algorithms: &[Algorithm],
    burst: Option<u64>,
) -> Result<Pair, Wrong> {
    let words = |algorithm| PolicyWords {
        limit: integer_word(field(query, "limit")),
        window: Word::Text(field(query, "window").to_owned()),
        windows: None,
        algorithm: Word::Text(algorithm_name(algorithm).to_owned()),
        burst: match burst {
            Some(burst) if algorithm == Algorithm::Bucket => Word::Number(burst),
            _ => Word::Missing,
        },
    };
    let policies = algorithms.iter().map(|algorithm| words(*algorithm).validate());
    let policies = policies.collect::<Result<Vec<_>, _>>()?;
    Ok(policies[0].pairs()[0])
}

fn algorithms(text: &str) -> Result<Vec<Algorithm>, Wrong> {
    let wrong = || {
        let names = ALGORITHMS.map(algorithm_name).join(", ");
        let message = format!("algorithms must be a list of different algorithms: {names}");
        Wrong::new("algorithms", message)
    };
    let mut algorithms = Vec::new();
    for name in text.split(',') {
        let algorithm = algorithm(name).ok_or_else(wrong)?;
        if algorithms.contains(&algorithm) {
            return Err(wrong());
        }
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

/// `None`: not given.
fn burst(text: &str, algorithms: &[Algorithm]) -> Result<Option<u64>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    if !algorithms.contains(&Algorithm::Bucket) {
        return Err(PolicyError::from(PolicyRule::BurstAlgorithm).into());
    }
    integer_word(text).integer("burst", 1..=MAX_LIMIT).map(Some)
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

/// An integer as JSON has it: no leading zero.
fn integer_word(text: &str) -> Word {
    match text.strip_prefix('0') {
        Some("") | None => Word::of_digits(text),
        Some(_) => Word::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [(&str, &str); 8] = [
        ("algorithms", "fixed,bucket"),
        ("limit", "10"),
        ("window", "10s"),
        ("burst", "20"),
        ("clients", "5"),
        ("traffic", "steady"),
        ("rate", "4"),
        ("seconds", "60"),
    ];

    /// The usual query with some fields replaced.
    fn read(changes: &[(&str, &str)]) -> Result<Parameters, Wrong> {
        let mut query = USUAL.map(|(field, value)| (field.to_owned(), value.to_owned())).to_vec();
        for (field, value) in changes {
            let found = query.iter_mut().find(|(known, _)| known == field);
            found.expect("a known field").1 = (*value).to_owned();
        }
        Parameters::read(&query)
    }

    #[test]
    fn reads_what_the_page_sends() {
        let usual = read(&[]).unwrap();
        assert_eq!(usual.algorithms, [Algorithm::Fixed, Algorithm::Bucket]);
        assert_eq!((usual.limit, usual.burst), (10, Some(20)));
        assert_eq!(usual.window, Duration::from_secs(10));
        assert_eq!(usual.length, Duration::from_secs(60));
        assert_eq!((usual.traffic.clients, usual.traffic.rate), (5, 4));
        assert_eq!(read(&[("burst", "")]).unwrap().burst, None);
    }

    #[test]
    fn each_field_is_held_to_its_bounds() {
        let cases = [
            ("limit", "0", true),
            ("limit", "1000000000000", true),
            ("limit", "1000000000001", false),
            ("window", "1ms", true),
            ("window", "0ms", false),
            ("window", "366d", true),
            ("window", "367d", false),
            ("window", "10 s", false),
            ("window", "10S", false),
            ("window", "18446744073709551615d", false),
            ("burst", "0", false),
            ("burst", "1", true),
            ("clients", "0", false),
            ("clients", "20", true),
            ("clients", "21", false),
            ("rate", "0", false),
            ("rate", "100", true),
            ("rate", "101", false),
            ("rate", "1001", false),
            ("seconds", "0", false),
            ("seconds", "1", true),
            ("seconds", "120", true),
            ("seconds", "121", false),
            ("traffic", "flood", false),
            ("algorithms", "", false),
            ("algorithms", "fixed,fixed", false),
            ("algorithms", "leaky", false),
            ("algorithms", "bucket,sliding,fixed", true),
        ];
        for (field, value, is_valid) in cases {
            // A burst refills in any window only if it is the limit.
            let outcome = match field {
                "limit" | "window" => read(&[("burst", ""), (field, value)]),
                _ => read(&[(field, value)]),
            };
            assert_eq!(outcome.is_ok(), is_valid, "{field}={value}");
            assert!(outcome.err().is_none_or(|wrong| wrong.field == field), "{field}={value}");
        }
    }

    #[test]
    fn hostile_numbers_are_rejected() {
        for value in ["", "-1", "+1", "01", " 1", "1e3", "0x10", "١", "99999999999999999999", "\0"]
        {
            for field in ["limit", "window", "clients", "rate", "seconds"] {
                assert_eq!(read(&[(field, value)]).unwrap_err().field, field, "{value:?}");
            }
        }
    }

    #[test]
    fn boundary_traffic_is_bounded_and_reaches_the_edge() {
        let boundary = |field, value| {
            let rate_is_not_used = ("rate", "1000");
            read(&[("traffic", "boundary"), ("burst", ""), rate_is_not_used, (field, value)])
        };
        let cases = [
            ("limit", "50", None),
            ("limit", "51", Some("limit")),
            ("limit", "0", Some("limit")),
            ("window", "1s", None),
            ("window", "999ms", Some("window")),
            ("window", "60", Some("seconds")),
            ("seconds", "10", Some("seconds")),
            ("seconds", "11", None),
        ];
        for (field, value, wrong) in cases {
            let found = boundary(field, value).err().map(|wrong| wrong.field);
            assert_eq!(found.as_deref(), wrong, "{field}={value}");
        }
    }

    #[test]
    fn bursty_traffic_has_half_the_bound() {
        for (rate, is_valid) in [("50", true), ("51", false)] {
            assert_eq!(read(&[("traffic", "bursty"), ("rate", rate)]).is_ok(), is_valid, "{rate}");
        }
    }

    #[test]
    fn missing_unknown_and_repeated_fields_are_rejected() {
        let query = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(f, v)| ((*f).into(), (*v).into())).collect();
            Parameters::read(&pairs).unwrap_err().field
        };
        assert_eq!(query(&[]), "algorithms");
        assert_eq!(query(&[("<script>", "1")]), "");
        assert_eq!(query(&[("limit", "1"), ("limit", "2")]), "limit");
    }

    #[test]
    fn burst_is_for_the_bucket_and_must_refill() {
        assert_eq!(read(&[("algorithms", "fixed")]).unwrap_err().field, "burst");
        let slow = [("limit", "1"), ("window", "366d"), ("burst", "11")];
        assert!(read(&slow).unwrap_err().message.contains("must refill within"));
    }
}
