//! `/v1/auth`, asked as nginx asks it.

use std::io::{BufReader, Write};

use crate::api::read_status;
use crate::service::{Service, Settings};

const POLICIES: &str = r#"
[[policy]]
name = "login"
route = "/login"
methods = ["POST"]
limit = 1
window = "1h"

[[policy]]
name = "uploads"
route = "/uploads/*"
algorithm = "bucket"
limit = 2
window = "1h"
"#;

fn service() -> Service {
    Settings::memory().file("p.toml", POLICIES).set("POLICIES", "p.toml").start()
}

#[test]
fn allows_by_204_and_denies_by_403_with_the_fields() {
    let service = Settings::memory().set("RATE_LIMIT", 2).start();
    let ask = || service.get_with("/v1/auth", &[("X-Original-URI", "/anything?a=b")]);
    for remaining in [1, 0] {
        let answer = ask();
        assert_eq!((answer.status, &*answer.body), (204, ""));
        assert!(answer.field("ratelimit").starts_with(&format!("\"default\";r={remaining};t=")));
        assert_eq!(answer.field("retry-after"), "");
    }
    let answer = ask();
    assert_eq!((answer.status, &*answer.body), (403, ""));
    assert_eq!(answer.field("ratelimit-policy"), r#""default";q=2;w=60"#);
    assert!((1..=60).contains(&answer.field("retry-after").parse().expect("whole seconds")));
}

#[test]
fn decides_by_the_original_route_and_method() {
    let service = service();
    let ask = |method, uri| {
        let headers = [("X-Original-URI", uri), ("X-Original-Method", method)];
        let answer = service.get_with("/v1/auth", &headers);
        let policy = answer.field("ratelimit-policy").split('"').nth(1).map(str::to_owned);
        (answer.status, policy.expect("a policy's name"))
    };
    assert_eq!(ask("POST", "/login"), (204, "login".into()));
    assert_eq!(ask("POST", "/login?next=/"), (403, "login".into()));
    assert_eq!(ask("GET", "/login"), (204, "default".into()));
    assert_eq!(ask("PUT", "/uploads/a/b"), (204, "uploads".into()));
    assert_eq!(ask("PUT", "/uploads/c"), (204, "uploads".into()));
    assert_eq!(ask("PUT", "/uploads/c"), (403, "uploads".into()));
    assert_eq!(ask("PUT", "/uploads"), (403, "uploads".into()), "a slash at the end is ignored");
    assert_eq!(ask("PUT", "/uploads2"), (204, "default".into()));
}

#[test]
fn another_spelling_of_a_route_has_the_same_policy() {
    let service = service();
    let ask = |uri: &str| {
        let headers = [("X-Original-URI", uri), ("X-Original-Method", "POST")];
        let answer = service.get_with("/v1/auth", &headers);
        (answer.status, answer.field("ratelimit-policy").contains("login"))
    };
    assert_eq!(ask("/login"), (204, true));
    let decoded = ["/%6cogin", "//login", "/x/../login?a=b", "/%2e/login#", "/x%2F..%2Flogin"];
    let ignored = ["/login/", "/LOGIN", "/login;x=1", "/login%20", "/x/..;/login", "/Login;a/?b"];
    for uri in decoded.into_iter().chain(ignored) {
        assert_eq!(ask(uri), (403, true), "{uri}");
    }
    assert_eq!(ask("/login%3Fnext"), (204, false));
}

#[test]
fn a_uri_of_strange_bytes_is_counted_like_any_other() {
    let service = Settings::memory().set("RATE_LIMIT", 1).start();
    for status in [204, 403] {
        let mut stream = BufReader::new(service.connect());
        let request = b"GET /v1/auth HTTP/1.1\r\nhost: h\r\nx-original-uri: /\xff\xfe%\r\n\r\n";
        stream.get_mut().write_all(request).expect("it listens");
        assert_eq!(read_status(&mut stream), status);
    }
}

#[test]
fn a_policy_and_a_key_can_be_chosen_by_the_query() {
    let service = service();
    let ask = |query: &str| service.get(&format!("/v1/auth?{query}")).status;
    assert_eq!([ask("policy=login"), ask("policy=login")], [204, 403], "by the client's address");
    assert_eq!([ask("policy=login&key=a"), ask("policy=login&key=a")], [204, 403]);
    assert_eq!(ask("policy=login&key=b"), 204);
    let wrong =
        ["", "policy=none", "key=a", "policy=login&key=", "x=1", "policy=login&policy=login"];
    for query in wrong {
        let answer = service.get(&format!("/v1/auth?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
    }
    let long = format!("policy=login&key={}", "k".repeat(1025));
    assert_eq!(ask(&long), 400);
}

#[test]
fn several_policies_share_one_line_of_each_field() {
    let policies = r#"
        [[policy]]
        name = "user"
        by = "bearer"
        limit = 9
        window = 60
    "#;
    let service = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml").start();
    let headers = [("X-Original-URI", "/"), ("Authorization", "Bearer t")];
    let answer = service.get_with("/v1/auth", &headers);
    assert_eq!(answer.headers.get_all("ratelimit-policy").iter().count(), 1);
    assert_eq!(answer.field("ratelimit-policy"), r#""user";q=9;w=60, "default";q=5;w=60"#);
}
