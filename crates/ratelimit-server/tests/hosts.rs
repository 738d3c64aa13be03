//! `Host` and `ALLOWED_HOSTS`, against DNS rebinding.

use serde_json::Value;

use crate::browser::Browser;
use crate::service::{agent, Answer, Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":5,"window":60}"#;

fn post_as(service: &Service, host: &str, path: &str, body: &str) -> Answer {
    let url = format!("http://127.0.0.1:{}{path}", service.port());
    let request = agent().post(url).content_type("application/json").header("host", host);
    Answer::read(request.send(body).expect("an answer"))
}

fn status_as(service: &Service, host: &str, path: &str) -> u16 {
    service.get_with(path, &[("host", host)]).status
}

/// The name of the page's own origin leads to this machine from now on, as by DNS rebinding.
#[test]
fn a_rebound_page_takes_nothing_from_the_quota_of_its_visitor() {
    let service = Settings::memory().start();
    let browser = Browser::open_with(800, 600, &["--host-resolver-rules=MAP *.example 127.0.0.1"]);
    browser.go(&format!("http://evil.example:{}/healthz", service.port()));
    let attempt = r#"
        const headers = { 'Content-Type': 'application/json' };
        const post = (path, body) => fetch(path, { method: 'POST', headers, body });
        const check = '{"key":"k","limit":5,"window":60}';
        const attempts = [post('/v1/check', check), post('/v1/peek', check),
            post('/v1/check/batch', `{"checks":[${check}]}`), fetch('/metrics'), fetch('/dashboard'),
            fetch('/dashboard/simulations'), post('/dashboard/simulation', '{}')];
        return Promise.all(attempts).then((all) => all.map((answer) => answer.status));
    "#;
    let statuses: Vec<Value> = browser.run(attempt).as_array().expect("a list").clone();
    assert_eq!(statuses, [403; 7]);
    assert_eq!(service.check(CHECK)["remaining"], 4, "nothing was counted before");
}

#[test]
fn a_refusal_names_the_setting_which_then_allows_the_host() {
    let service = Settings::memory().start();
    let refused = post_as(&service, "limits.example", "/v1/check", CHECK);
    assert_eq!(refused.status, 403);
    assert_eq!(refused.field("content-type"), "application/problem+json");
    let detail = refused.json()["detail"].as_str().expect("text").to_owned();
    assert!(detail.contains("ALLOWED_HOSTS"), "{detail}");

    let service = Settings::memory().set("ALLOWED_HOSTS", "limits.example, other").start();
    for host in ["limits.example", "LIMITS.example:8080", "other:3000", "localhost", "10.0.0.1"] {
        assert_eq!(post_as(&service, host, "/v1/check", CHECK).status, 200, "{host}");
    }
    for path in ["/metrics", "/dashboard"] {
        assert_eq!(status_as(&service, "other", path), 200, "{path}");
        assert_eq!(status_as(&service, "evil.example", path), 403, "{path}");
    }
}

/// A proxy passes on the name that its visitor used, and a probe may use any name.
#[test]
fn guard_probes_and_the_limited_endpoint_take_any_host() {
    for settings in [Settings::memory(), Settings::memory().set("ALLOWED_HOSTS", "a.example")] {
        let service = settings.start();
        let uri = [("host", "shop.example"), ("x-original-uri", "/")];
        assert_eq!(service.get_with("/v1/auth", &uri).status, 204);
        for path in ["/", "/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(status_as(&service, "shop.example", path), 200, "{path}");
        }
    }
}
