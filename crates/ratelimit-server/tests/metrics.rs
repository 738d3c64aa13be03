//! `/metrics`: the values match the requests that were sent.

use crate::service::{server, Settings};

fn decisions(policy: &str, outcome: &str) -> String {
    format!("ratelimit_decisions_total{{policy=\"{policy}\",outcome=\"{outcome}\"}}")
}

#[test]
fn decisions_are_counted_by_policy_outcome_and_source() {
    let server = server();
    let policies = "[[policy]]\nname = \"user\"\nby = \"bearer\"\nlimit = 1\nwindow = 60\n";
    let settings = Settings::on(&server).file("p.toml", policies).set("POLICIES", "p.toml");
    let service = settings.start();
    service.statuses(7);
    for _ in 0..2 {
        service.get_with("/", &[("Authorization", "Bearer t")]);
    }
    let check = r#"{"key":"k","limit":2,"window":60}"#;
    for _ in 0..3 {
        service.check(check);
    }
    service.post("/v1/peek", check);
    service.post("/v1/check", "wrong");
    let expected = [
        (decisions("default", "allowed"), 5.0),
        (decisions("default", "denied"), 3.0),
        (decisions("user", "allowed"), 1.0),
        (decisions("user", "denied"), 1.0),
        (decisions("v1", "allowed"), 2.0),
        (decisions("v1", "denied"), 1.0),
        (decisions("v1", "failed"), 0.0),
        ("ratelimit_check_duration_seconds_count".to_owned(), 13.0),
        ("ratelimit_check_duration_seconds_bucket{le=\"+Inf\"}".to_owned(), 13.0),
        ("ratelimit_backend_up".to_owned(), 1.0),
        ("ratelimit_denied_top{key=\"default:ip:127.0.0.1\"}".to_owned(), 3.0),
        ("ratelimit_denied_top{key=\"k\"}".to_owned(), 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(service.metric(&series), value, "{series}");
    }
    let source = |name| service.metric(&format!("ratelimit_answers_total{{source=\"{name}\"}}"));
    assert_eq!(source("module") + source("known_denial"), 13.0);
    assert!(source("known_denial") >= 1.0, "a second denial within a second is known");
    assert!(service.metric("ratelimit_check_duration_seconds_sum") > 0.0);
}

#[test]
fn the_text_has_the_format_of_openmetrics() {
    let service = Settings::memory().start();
    service.statuses(6);
    let answer = service.get("/metrics");
    assert!(answer
        .field("content-type")
        .starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.ends_with("# EOF\n"));
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("ratelimit_"), "{line}");
    }
    let buckets = answer.body.lines().filter(|line| line.contains("_bucket{le="));
    let counts: Vec<f64> = buckets
        .map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a number"))
        .collect();
    assert!(counts.len() == 14 && counts.is_sorted(), "{counts:?}");
}

#[test]
fn the_keys_denied_most_are_at_most_ten() {
    let service = Settings::memory().start();
    for i in 0..30 {
        service.check(&format!(r#"{{"key":"k{i}","limit":0,"window":60}}"#));
    }
    let body = service.get("/metrics").body;
    let top = body.lines().filter(|line| line.starts_with("ratelimit_denied_top{"));
    assert_eq!(top.count(), 10);
}
