//! `/metrics`: the values match the requests that were sent.

use std::io::Write;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use ratelimit_harness::eventually;

use crate::monitoring::program;
use crate::service::{agent, free_port, get, server, Settings};

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
        service.get_with("/v1/auth?policy=user", &[("Authorization", "Bearer t")]);
    }
    let check = r#"{"key":"k","limit":2,"window":60}"#;
    for _ in 0..3 {
        service.check(check);
    }
    service.post("/v1/peek", check);
    service.post("/v1/check", "wrong");
    let expected = [
        (decisions("default", "allowed"), 5.0),
        (decisions("default", "denied"), 2.0),
        (decisions("user", "allowed"), 1.0),
        (decisions("user", "denied"), 1.0),
        (decisions("v1", "allowed"), 2.0),
        (decisions("v1", "denied"), 1.0),
        (decisions("v1", "failed"), 0.0),
        ("ratelimit_check_duration_seconds_count".to_owned(), 12.0),
        ("ratelimit_check_duration_seconds_bucket{le=\"+Inf\"}".to_owned(), 12.0),
        ("ratelimit_backend_up".to_owned(), 1.0),
        ("ratelimit_denied_top{key=\"default:ip:127.0.0.1\"}".to_owned(), 2.0),
        ("ratelimit_denied_top{key=\"k\"}".to_owned(), 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(service.metric(&series), value, "{series}");
    }
    let source = |name| service.metric(&format!("ratelimit_answers_total{{source=\"{name}\"}}"));
    assert_eq!(source("module") + source("known_denial"), 12.0);
    assert!(source("known_denial") >= 1.0, "a second denial within a second is known");
    assert!(service.metric("ratelimit_check_duration_seconds_sum") > 0.0);
}

const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

#[test]
fn a_scraper_gets_openmetrics_if_it_asks_for_it() {
    let service = Settings::memory().start();
    service.statuses(6);
    let answer = service.get_with("/metrics", &[("Accept", PROMETHEUS)]);
    assert!(answer
        .field("content-type")
        .starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.ends_with("# EOF\n"));
    has_series(&answer.body);
    for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
        let answer = service.get_with("/metrics", &[("Accept", accept)]);
        assert_eq!(answer.field("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        assert!(!answer.body.contains("# EOF") && !answer.body.contains("# UNIT"));
        has_series(&answer.body);
    }
}

#[track_caller]
fn has_series(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("ratelimit_") || series.starts_with("process_"), "{line}");
    }
    let buckets = text.lines().filter(|line| line.contains("_bucket{le="));
    let counts: Vec<f64> = buckets
        .map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a number"))
        .collect();
    assert!(counts.len() == 14 && counts.is_sorted(), "{counts:?}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let service = Settings::memory().start();
    service.statuses(7);
    service.check(r#"{"key":"a\n\"b\\","limit":0,"window":60}"#);
    let text = service.get("/metrics").body;
    let mut promtool = program(&["promtool"]);
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("it runs");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.is_empty(), "{message}\n{text}");
}

#[test]
fn requests_are_counted_by_endpoint_and_status() {
    let service = Settings::memory().set("RATE_LIMIT", 2).start();
    service.statuses(5);
    service.check(r#"{"key":"k","limit":2,"window":60}"#);
    service.post("/v1/check", "wrong");
    service.get_with("/v1/auth", &[("X-Original-URI", "/")]);
    for path in ["/nothing", "/v1/check/no", "/\u{e4}", "/dashboard", "/dashboard/page.js"] {
        service.get(&path.replace('\u{e4}', "%C3%A4"));
    }
    for (endpoint, status, expected) in [
        ("/", 200, 2.0),
        ("/", 429, 3.0),
        ("/v1/check", 200, 1.0),
        ("/v1/check", 400, 1.0),
        ("/v1/auth", 403, 1.0),
        ("other", 404, 3.0),
        ("/dashboard", 200, 2.0),
    ] {
        let labels = format!("endpoint=\"{endpoint}\",status=\"{status}\"");
        let series = format!("ratelimit_requests_total{{{labels}}}");
        assert_eq!(service.metric(&series), expected, "{series}");
    }
    assert!(!service.get("/metrics").body.contains("nothing"), "no raw path");
}

#[test]
fn the_process_its_version_its_connections_and_its_reloads_show() {
    let policy = "[[policy]]\nname = \"a\"\nlimit = 1\nwindow = 60\n";
    let service = Settings::memory().file("p.toml", policy).set("POLICIES", "p.toml").start();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(service.metric(&format!("ratelimit_build_info{{version=\"{version}\"}}")), 1.0);
    let held: Vec<_> = (0..5).map(|_| service.connect()).collect();
    eventually("five are open, and the one that asks", || {
        service.metric("ratelimit_connections") == 6.0
    });
    drop(held);
    eventually("they are closed", || service.metric("ratelimit_connections") == 1.0);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let reload = |name: &str| service.metric(&format!("ratelimit_policies_last_reload_{name}"));
    let first = reload("timestamp_seconds");
    assert!((now - 600.0..=now + 1.0).contains(&first), "{first}");
    assert_eq!(reload("successful"), 1.0);
    std::fs::write(service.path("p.toml"), "wrong").expect("a file");
    eventually("a failed reload shows", || reload("successful") == 0.0);
    assert!(reload("timestamp_seconds") >= first);
    std::fs::write(service.path("p.toml"), policy).expect("a file");
    eventually("a good one too", || reload("successful") == 1.0);

    assert!((now - 600.0..=now + 1.0).contains(&service.metric("process_start_time_seconds")));
    for name in ["cpu_seconds_total", "virtual_memory_bytes", "threads", "open_fds", "max_fds"] {
        assert!(service.metric(&format!("process_{name}")) > 0.0, "{name}");
    }
    let resident = service.metric("process_resident_memory_bytes") as u64;
    assert!((1..=service.peak_bytes()).contains(&resident), "{resident}");
}

#[test]
fn metrics_and_probes_can_have_an_address_of_their_own() {
    let port = free_port();
    let settings = || Settings::memory().set("ADMIN_BIND", format!("127.0.0.1:{port}"));
    let service = settings().start();
    let log = service.log("listening");
    assert_eq!(log[0]["admin"], format!("127.0.0.1:{port}"));
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(service.get(path).status, 404, "{path}");
        let answer = get(&agent(), &format!("http://127.0.0.1:{port}{path}"), &[]);
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(service.get("/").status, 200);
    for path in ["/", "/v1/check", "/v1/auth", "/dashboard", "/openapi.json"] {
        let answer = get(&agent(), &format!("http://127.0.0.1:{port}{path}"), &[]);
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(settings().set("PORT", service.port()).flag("healthy").output().status.success());
    let (code, message) = settings().refusal();
    assert!(code == 1 && message.contains("ADMIN_BIND"), "{message}");
    let (code, message) = Settings::memory().set("ADMIN_BIND", "9100").refusal();
    assert!(
        code == 2 && message.contains("ADMIN_BIND must be an IP address and a port"),
        "{message}"
    );
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
