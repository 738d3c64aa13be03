//! `/v1/auth`, asked as nginx asks it.

use std::io::{BufReader, Write};

use crate::api::read_status;
use crate::service::{server, Service, Settings};

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
    assert_eq!(ask("policy=login&key="), 403, "an empty key is none: by address again");
    let wrong = ["", "policy=none", "key=a", "x=1", "policy=login&policy=login"];
    for query in wrong {
        let answer = service.get(&format!("/v1/auth?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
    }
    let long = format!("policy=login&key={}", "k".repeat(1025));
    assert_eq!(ask(&long), 400);
}

/// What each proxy sends for a visitor's request to this path.
fn described(form: &str, method: &str, path: &str) -> (String, Vec<(&'static str, String)>) {
    let headers = match form {
        "/v1/auth" => vec![("X-Original-URI", path.into()), ("X-Original-Method", method.into())],
        "/v1/auth/ingress" => {
            vec![
                ("X-Original-URL", format!("http://h{path}")),
                ("X-Original-Method", method.into()),
            ]
        }
        "/v1/auth/forwarded" => {
            vec![("X-Forwarded-Uri", path.into()), ("X-Forwarded-Method", method.into())]
        }
        envoy => return ([envoy, path].concat(), Vec::new()),
    };
    (form.to_owned(), headers)
}

/// The status and the name of the policy.
fn ask(service: &Service, form: &str, path: &str) -> (u16, String) {
    let (url, headers) = described(form, "GET", path);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = service.get_with(&url, &headers);
    let policy = answer.field("ratelimit-policy").split('"').nth(1).unwrap_or("");
    (answer.status, policy.to_owned())
}

#[test]
fn each_form_has_the_statuses_that_its_proxy_knows() {
    let forms = [
        ("/v1/auth", 204, 403),
        ("/v1/auth/ingress", 200, 403),
        ("/v1/auth/forwarded", 200, 429),
        ("/v1/auth/envoy", 200, 429),
    ];
    for (form, yes, no) in forms {
        let service = service();
        for (path, policy) in
            [("/uploads/a?b#c", "uploads"), ("/uploads/%2e%2e/uploads/", "uploads")]
        {
            assert_eq!(ask(&service, form, path), (yes, policy.into()), "{form} {path}");
        }
        assert_eq!(ask(&service, form, "/x/..//uploads/c"), (no, "uploads".into()), "{form}");
        assert_eq!(ask(&service, form, "/"), (yes, "default".into()), "{form}");
    }
}

#[test]
fn no_path_and_no_header_of_a_visitor_selects_another_form() {
    let service = service();
    let visitors = [
        ("X-Original-URI", "/uploads/a"),
        ("X-Original-URL", "http://h/uploads/a"),
        ("X-Forwarded-Uri", "/uploads/a"),
        ("X-Original-Method", "POST"),
        ("X-Forwarded-Method", "POST"),
    ];
    let paths = [
        "/",
        "//",
        "/../ingress",
        "/../forwarded",
        "/..",
        "/%2e%2e/ingress",
        "/..%2fingress",
        "/?policy=uploads",
        "/?policy=uploads&key=k",
        "/../../auth?policy=uploads",
        "/a?/../b",
    ];
    for path in paths {
        let answer = service.get_with(&format!("/v1/auth/envoy{path}"), &visitors);
        assert!([200, 429].contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.field("ratelimit-policy").contains("\"default\""), "{path}");
    }
    let query = service.get_with("/v1/auth/forwarded?policy=uploads", &[("X-Forwarded-Uri", "/")]);
    assert!(query.field("ratelimit-policy").contains("\"default\""), "Caddy hands on the query");
    for path in ["/v1/auth/", "/v1/auth/other", "/v1/auth/ingress/", "/v1/auth/envoyx", "/v1//auth"]
    {
        assert_eq!(service.get_with(path, &visitors).status, 404, "{path}");
    }
    let wrong = [("/v1/auth", 400), ("/v1/auth/forwarded", 400), ("/v1/auth/ingress", 403)];
    for (path, status) in wrong {
        assert_eq!(service.get(path).status, status, "{path} without its headers");
    }
}

#[test]
fn a_host_of_a_visitor_does_not_choose_the_path() {
    let service = service();
    for url in ["http://h?/uploads/a", "http://h#/uploads/a", "https://u@h:1/uploads/a?x=http://y/"]
    {
        let answer = service.get_with("/v1/auth/ingress", &[("X-Original-URL", url)]);
        assert!(answer.field("ratelimit-policy").contains("\"uploads\""), "{url}");
        let answer = service.get_with("/v1/auth/ingress?policy=login", &[("X-Original-URL", url)]);
        assert!(answer.field("ratelimit-policy").contains("\"login\""), "{url}");
    }
    for url in ["", "/uploads/a", "h/uploads/a", "http://h"] {
        let answer = service.get_with("/v1/auth/ingress", &[("X-Original-URL", url)]);
        assert_eq!(answer.status, 403, "{url}");
    }
}

#[test]
fn no_failure_is_502_or_504_from_which_a_proxy_may_conclude() {
    let closed = Settings::nowhere().set("ON_REDIS_FAILURE", "closed").start();
    let server = server();
    server.connect().must("ACL SETUSER weak on nopass ~nothing +ping");
    let weak = Settings::at(&format!("redis://weak:x@127.0.0.1:{}", server.port()))
        .set("ON_REDIS_FAILURE", "closed")
        .start();
    for form in ["/v1/auth", "/v1/auth/ingress", "/v1/auth/forwarded", "/v1/auth/envoy"] {
        for service in [&closed, &weak] {
            assert_eq!(ask(service, form, "/").0, 503, "{form}");
        }
    }
}

#[test]
fn a_key_header_without_a_value_counts_by_address() {
    let policies = r#"
        [[policy]]
        name = "user"
        by = "header:X-Ratelimit-Key"
        limit = 1
        window = "1h"
    "#;
    let service = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml").start();
    let ask = |headers: &[(&str, &str)]| service.get_with("/v1/auth?policy=user", headers).status;
    assert_eq!([ask(&[]), ask(&[("X-Ratelimit-Key", "")])], [204, 403], "one limit for both");
    assert_eq!(
        [ask(&[("X-Ratelimit-Key", "a b&c#d")]), ask(&[("X-Ratelimit-Key", "a")])],
        [204; 2]
    );
    assert_eq!(ask(&[("X-Ratelimit-Key", "a b&c#d")]), 403);
}

#[test]
fn headers_as_large_as_proxies_hand_on_are_taken() {
    let service = Settings::memory().start();
    let long = "x".repeat(8_000);
    let names = ["Authorization", "X-API-Key", "Cookie", "A", "B", "C", "D"];
    let headers: Vec<_> = names.iter().map(|name| (*name, &*long)).collect();
    let headers = [&headers[..], &[("X-Original-URI", "/")]].concat();
    assert_eq!(service.get_with("/v1/auth", &headers).status, 204, "56 KiB");
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
