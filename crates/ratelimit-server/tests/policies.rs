//! The file of policies: by route, by kind of key, reloaded while the service runs.

use std::fs;
use std::io::{Read, Write};

use ratelimit_harness::{eventually, Connection};

use crate::service::{server, Answer, Service, Settings};

fn service(policies: &str) -> Service {
    Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml").start()
}

const ROOT: &str = "[[policy]]\nname = \"root\"\nroute = \"/\"\nlimit = 2\nwindow = \"1h\"\n";

#[test]
fn a_policy_of_the_route_precedes_that_of_the_settings() {
    let service = service(ROOT);
    assert_eq!(service.statuses(3), [200, 200, 429]);
    let answer = service.get("/");
    assert_eq!(answer.field("ratelimit-policy"), r#""root";q=2;w=3600"#);
}

#[test]
fn a_user_has_a_limit_besides_that_of_the_address() {
    let service = service("[[policy]]\nname = \"user\"\nby = \"bearer\"\nlimit = 2\nwindow = 60\n");
    let status_of = |token: &str| {
        service.get_with("/", &[("Authorization", &format!("Bearer {token}"))]).status
    };
    assert_eq!([status_of("a"), status_of("a"), status_of("a")], [200, 200, 429], "the user's");
    assert_eq!([status_of("b"), status_of("b"), status_of("b")], [200, 200, 429]);
    assert_eq!(
        [status_of("c"), status_of("c")],
        [200, 429],
        "the address: its fifth request is allowed, its sixth denied"
    );
}

/// Two limits: three a minute for each user, six an hour for each address.
const TWO: &str = r#"
[[policy]]
name = "user"
by = "bearer"
limit = 3
window = 60

[[policy]]
name = "hour"
limit = 6
window = "1h"
"#;

/// How often the server has run a command.
fn calls(connection: &mut Connection, command: &str) -> u64 {
    let info = connection.must("INFO commandstats").text();
    let line =
        info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().expect("a number").parse().expect("a number"))
}

#[test]
fn a_denied_request_takes_nothing_from_other_policies() {
    let server = server();
    let settings = || Settings::on(&server).file("p.toml", TWO).set("POLICIES", "p.toml");
    for (prefix, remember) in [("with:", "1s"), ("without:", "0")] {
        let service =
            settings().set("KEY_PREFIX", prefix).set("REMEMBER_DENIALS", remember).start();
        let ask =
            |token: &str| service.get_with("/", &[("Authorization", &format!("Bearer {token}"))]);
        let a: Vec<_> = (0..20).map(|_| ask("a").status).collect();
        assert_eq!(a[..3], [200; 3]);
        assert_eq!(a[3..], [429; 17]);
        let left = ask("b");
        assert_eq!(left.status, 200, "the burst of a has taken nothing from the address");
        let fields: Vec<_> = left.headers.get_all("ratelimit").iter().collect();
        assert!(fields[1].to_str().expect("ASCII").starts_with("\"hour\";r=2;"), "{fields:?}");
        let counted = |policy| {
            ["allowed", "denied"].map(|outcome| {
                let labels = format!("policy=\"{policy}\",outcome=\"{outcome}\"");
                service.metric(&format!("ratelimit_decisions_total{{{labels}}}"))
            })
        };
        assert_eq!(counted("user"), [4.0, 17.0], "{prefix}");
        assert_eq!(counted("hour"), [4.0, 0.0], "{prefix}");
    }
}

#[test]
fn two_policies_cost_two_round_trips_and_a_known_denial_none() {
    let server = server();
    let mut control = server.connect();
    let settings = Settings::on(&server).file("p.toml", TWO).set("POLICIES", "p.toml");
    let service = settings.set("REMEMBER_DENIALS", "1m").start();
    let mut cost = |ask: &dyn Fn() -> Answer| {
        let mut read =
            || ["check", "peek"].map(|name| calls(&mut control, &format!("ratelimit.{name}")));
        let before = read();
        let status = ask().status;
        let after = read();
        // The service peeks at a key of its own once a second.
        (status, after[0] - before[0], after[1] - before[1])
    };
    let with_token = || service.get_with("/", &[("Authorization", "Bearer a")]);
    let (status, checks, _) = cost(&|| service.get("/"));
    assert_eq!((status, checks), (200, 1), "one policy: one check");
    for _ in 0..3 {
        let (status, checks, peeks) = cost(&with_token);
        assert_eq!((status, checks), (200, 2));
        assert!((2..=3).contains(&peeks), "{peeks}");
    }
    let (status, checks, peeks) = cost(&with_token);
    assert_eq!((status, checks), (429, 0));
    assert!((2..=3).contains(&peeks), "{peeks}");
    let (status, checks, peeks) = cost(&with_token);
    assert_eq!((status, checks), (429, 0));
    assert!(peeks <= 1, "the denial is known: {peeks}");
}

#[test]
fn of_several_denials_the_longest_wait_is_reported() {
    let policies = TWO.replace("limit = 3", "limit = 1").replace("limit = 6", "limit = 1");
    let service = service(&policies);
    let ask = || service.get_with("/", &[("Authorization", "Bearer a")]);
    assert_eq!(ask().status, 200);
    let denied = ask();
    assert_eq!(denied.headers.get_all("ratelimit").iter().count(), 2);
    assert!(denied.field("retry-after").parse::<u32>().expect("seconds") > 60);
    let never = self::service(&TWO.replace("limit = 6", "limit = 0"));
    let denied = never.get_with("/", &[("Authorization", "Bearer a")]);
    assert_eq!((denied.status, denied.field("retry-after")), (429, ""));
}

#[test]
fn several_policies_decide_without_redis_as_one_does() {
    let settings = |mode: &str| {
        let settings = Settings::nowhere().file("p.toml", TWO).set("POLICIES", "p.toml");
        settings.set("ON_REDIS_FAILURE", mode).start()
    };
    let statuses = |service: &Service| -> Vec<u16> {
        let ask = |_| service.get_with("/", &[("Authorization", "Bearer a")]).status;
        (0..5).map(ask).collect()
    };
    assert_eq!(statuses(&settings("local")), [200, 200, 200, 429, 429]);
    assert_eq!(statuses(&settings("open")), [200; 5]);
    assert_eq!(statuses(&settings("closed")), [503; 5]);
}

#[test]
fn a_policy_for_get_covers_head() {
    let service = service(&ROOT.replace("limit = 2", "methods = [\"GET\"]\nlimit = 2"));
    assert_eq!(service.get("/").status, 200);
    assert_eq!(status_line(&service, "HEAD / HTTP/1.1"), "HTTP/1.1 200 OK");
    assert_eq!(service.get("/").status, 429, "HEAD counts as GET");
    let only_head = self::service(&ROOT.replace("limit = 2", "methods = [\"HEAD\"]\nlimit = 0"));
    assert_eq!(only_head.get("/").status, 200, "GET does not count as HEAD");
}

fn status_line(service: &Service, request: &str) -> String {
    let mut stream = service.connect();
    write!(stream, "{request}\r\nhost: h\r\nconnection: close\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or("").to_owned()
}

/// The status of `/v1/auth` for a visitor's method and target, and the policy that applies.
fn auth(service: &Service, method: &str, uri: &str, more: &[(&str, &str)]) -> (u16, String) {
    let visitor = [("X-Original-URI", uri), ("X-Original-Method", method)];
    let answer = service.get_with("/v1/auth", &[&visitor, more].concat());
    let policy = answer.field("ratelimit-policy").split('"').nth(1).unwrap_or("").to_owned();
    (answer.status, policy)
}

#[test]
fn a_policy_may_have_several_routes_under_one_limit() {
    let service = service(
        "[[policy]]\nname = \"a\"\nroutes = [\"/login\", \"/session/*\"]\nlimit = 2\nwindow = 60\n",
    );
    assert_eq!(auth(&service, "POST", "/login", &[]), (204, "a".into()));
    assert_eq!(auth(&service, "POST", "/session/new", &[]), (204, "a".into()));
    assert_eq!(auth(&service, "POST", "/login", &[]), (403, "a".into()));
    assert_eq!(auth(&service, "POST", "/other", &[]), (204, "default".into()));
}

#[test]
fn with_exact_paths_other_spellings_are_other_paths() {
    let login = "[[policy]]\nname = \"a\"\nroute = \"/login\"\nlimit = 0\nwindow = 60\n";
    let exact = service(&format!("{login}exact_paths = true\n"));
    let loose = service(login);
    for uri in ["/login/", "/LOGIN", "/login;x=1", "/login%20", "/x/..;/login"] {
        assert_eq!(auth(&loose, "GET", uri, &[]).0, 403, "{uri}");
        let (_, policy) = auth(&exact, "GET", uri, &[]);
        assert_eq!(policy, "default", "{uri}");
    }
    assert_eq!(auth(&exact, "GET", "//%6cogin", &[]).0, 403);
}

#[test]
fn exempt_keys_are_not_limited_and_blocked_keys_are_always_denied() {
    let policies = r##"
exempt = ["10.1.0.0/16", "2001:db8::/32"]
blocked = ["10.1.9.9", "203.0.113.0/24"]

[[policy]]
name = "tenant"
by = "header:x-tenant"
exempt = ["blue"]
blocked = ["red"]
limit = 1
window = "1h"
"##;
    let settings = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml");
    let service = settings.set("RATE_LIMIT", 2).set("TRUSTED_PROXIES", "127.0.0.1").start();
    let from = |address: &str| service.get_with("/", &[("X-Forwarded-For", address)]);
    let statuses = |address: &str| [(); 3].map(|()| from(address).status);
    for address in ["10.1.2.3", "2001:db8:7::1"] {
        assert_eq!(statuses(address), [200; 3], "{address}");
        assert_eq!(from(address).field("ratelimit"), "", "nothing is counted");
    }
    assert_eq!(statuses("10.2.2.3"), [200, 200, 429]);
    for address in ["203.0.113.7", "10.1.9.9"] {
        let blocked = from(address);
        assert_eq!((blocked.status, blocked.field("retry-after")), (429, ""), "{address}");
    }
    assert_eq!(service.log("denied").pop().expect("a line")["retry_after_ms"], -1);
    let series = r#"ratelimit_decisions_total{policy="default",outcome="denied"}"#;
    assert_eq!(service.metric(series), 3.0);

    let of = |tenant: &str, address: &str| {
        let headers = [("X-Tenant", tenant), ("X-Forwarded-For", address)];
        [(); 3].map(|()| service.get_with("/", &headers).status)
    };
    assert_eq!(of("green", "10.3.0.1"), [200, 429, 429]);
    assert_eq!(of("blue", "10.3.0.2"), [200, 200, 429], "the address still has its limit");
    assert_eq!(of("blue", "10.1.0.1"), [200; 3]);
    assert_eq!(of("red", "10.1.0.1"), [429; 3], "one policy that blocks is enough");
    let named =
        |tenant: &str| service.get_with("/v1/auth?policy=tenant", &[("X-Tenant", tenant)]).status;
    assert_eq!([named("red"), named("blue"), named("blue")], [403, 204, 204]);
}

#[test]
fn a_secret_is_listed_by_its_digest() {
    let digest = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"; // printf %s test | sha1sum
    let policies = format!(
        "[[policy]]\nname = \"k\"\nby = \"api-key\"\nblocked = [\"#{digest}\"]\nlimit = 9\nwindow = 60\n"
    );
    let service = service(&policies);
    let status_of = |key: &str| service.get_with("/", &[("X-API-Key", key)]).status;
    assert_eq!([status_of("test"), status_of("tesT")], [429, 200]);
}

#[test]
fn preflights_count_unless_the_settings_say_otherwise() {
    let settings = || Settings::memory().set("RATE_LIMIT", 1);
    let counted = settings().start();
    assert_eq!(auth(&counted, "OPTIONS", "/", &[]).0, 204);
    assert_eq!(auth(&counted, "OPTIONS", "/", &[]).0, 403);
    let free = settings().set("COUNT_OPTIONS", false).start();
    for _ in 0..3 {
        assert_eq!(auth(&free, "OPTIONS", "/", &[]), (204, String::new()));
    }
    assert_eq!(auth(&free, "GET", "/", &[]).0, 204);
    assert_eq!(auth(&free, "GET", "/", &[]).0, 403);
}

#[test]
fn scripts_of_other_origins_may_read_the_fields_if_set() {
    let exposed = |service: &Service, path: &str| {
        service.get(path).field("access-control-expose-headers").to_owned()
    };
    assert_eq!(exposed(&Settings::memory().start(), "/"), "");
    let service = Settings::memory().set("EXPOSE_FIELDS", true).set("RATE_LIMIT", 1).start();
    for _ in 0..2 {
        assert_eq!(exposed(&service, "/"), "RateLimit-Policy, RateLimit, Retry-After");
    }
    assert_eq!(exposed(&service, "/healthz"), "");
}

#[test]
fn a_limit_of_zero_reports_no_time() {
    let service = Settings::memory().set("RATE_LIMIT", 0).start();
    let denied = service.get("/");
    assert_eq!((denied.status, denied.field("retry-after")), (429, ""));
    assert_eq!(denied.field("ratelimit"), r#""default";r=0"#);
}

#[test]
fn the_prefixes_of_addresses_are_settings() {
    let settings = Settings::memory().set("TRUSTED_PROXIES", "127.0.0.1").set("RATE_LIMIT", 1);
    let service = settings.set("IPV4_PREFIX", 24).set("IPV6_PREFIX", 48).start();
    let status_of = |address: &str| service.get_with("/", &[("X-Forwarded-For", address)]).status;
    assert_eq!([status_of("192.0.2.1"), status_of("192.0.2.200")], [200, 429]);
    assert_eq!(status_of("192.0.3.1"), 200);
    assert_eq!([status_of("2001:db8:1:1::1"), status_of("2001:db8:1:2::1")], [200, 429]);
    assert_eq!(status_of("2001:db8:2::1"), 200);
    let keys: Vec<_> = service.log("denied").iter().map(|line| line["key"].to_string()).collect();
    assert_eq!(keys, ["\"default:ip:192.0.2.0/24\"", "\"default:ip:2001:db8:1::/48\""]);
}

#[test]
fn two_lines_of_a_key_are_refused() {
    for (by, name) in
        [("api-key", "X-API-Key"), ("bearer", "Authorization"), ("header:x-tenant", "X-Tenant")]
    {
        let service = Settings::memory().set("KEY_BY", by).start();
        for values in [["Bearer a", "Bearer b"], ["Bearer a", "Bearer a"]] {
            let lines = values.map(|value| (name, value));
            let answer = service.get_with("/", &lines);
            assert_eq!((answer.status, answer.field("ratelimit")), (400, ""), "{by}");
            assert_eq!(answer.field("content-type"), "application/problem+json");
            let asked =
                service.get_with("/v1/auth", &[("X-Original-URI", "/"), lines[0], lines[1]]);
            assert_eq!(asked.status, 403, "{by}");
            assert_eq!(service.get_with("/v1/auth?policy=default", &lines).status, 403, "{by}");
        }
        assert_eq!(service.get_with("/", &[(name, "Bearer a")]).status, 200);
    }
    let by_address = Settings::memory().start();
    let lines = [("X-API-Key", "a"), ("X-API-Key", "b")];
    assert_eq!(by_address.get_with("/", &lines).status, 200, "no policy reads the key");
}

#[test]
fn several_windows_must_all_allow() {
    let service = service(
        "[[policy]]\nname = \"api\"\nwindows = [{limit = 3, window = \"1h\"}, {limit = 2, window = 60}]\n",
    );
    assert_eq!(service.statuses(3), [200, 200, 429]);
    let answer = service.get("/");
    assert_eq!(answer.field("ratelimit-policy"), r#""api-1h";q=3;w=3600, "api-1m";q=2;w=60"#);
}

#[test]
fn a_changed_file_is_reloaded_and_a_bad_one_is_not() {
    let service = service(ROOT);
    assert_eq!(service.statuses(3), [200, 200, 429]);
    let file = service.path("p.toml");
    fs::write(&file, ROOT.replace("limit = 2", "limit = 4")).expect("a file");
    eventually("it is read", || service.log("policies reloaded").len() == 1);
    assert_eq!(service.statuses(3), [200, 200, 429], "the usage stays");

    for (bad, why) in [
        ("[[policy]]\nname = =\n", "expected"),
        (
            "[[policy]]\nname = \"a\"\nlimit = -1\nwindow = 1\n",
            "limit must be an integer between 0",
        ),
        (
            "[[policy]]\nname = \"a\"\nlimit = 1\nwindow = \"1w\"\n",
            "window must be an integer with",
        ),
        (
            "[[policy]]\nname = \"a\"\nlimit = 1\nwindow = 1\nburst = 2\n",
            "burst requires ALGORITHM BUCKET",
        ),
        ("[[policy]]\nname = \"a\"\nlimit = 1\nwindow = 1\nlmit = 2\n", "unknown field"),
        ("[[policy]]\nname = \"default\"\nlimit = 1\nwindow = 1\n", "name must be"),
        ("[[policy]]\nname = \"a\"\nlimit = 1\n", "window must be an integer with"),
        ("[[policy]]\nname = \"a\"\nroute = \"login\"\nlimit = 1\nwindow = 1\n", "route must be"),
        ("[[policy]]\nname = \"a\"\nby = \"x\"\nlimit = 1\nwindow = 1\n", "by must be"),
        (
            "[[policy]]\nname = \"a\"\nmethods = [\"get\"]\nlimit = 1\nwindow = 1\n",
            "methods must be",
        ),
        (&format!("{ROOT}{ROOT}"), "names must all be different"),
        (&format!("{ROOT}routes = [\"/a\"]\n"), "routes stands instead of route"),
        (&ROOT.replace("route = \"/\"", "routes = []"), "routes must be a list of 1 to 100"),
        (&ROOT.replace("route = \"/\"", "routes = [\"a\"]"), "routes must be a path such as"),
        (&format!("exempt = [\"10.0.0.0/33\"]\n{ROOT}"), "exempt must be a list of addresses"),
        (&format!("{ROOT}blocked = [\"blue\"]\n"), "blocked must be a list of addresses"),
        (
            &format!("{ROOT}by = \"header:x\"\nblocked = [\"a b\"]\n"),
            "blocked must be a list of values",
        ),
    ] {
        let before = service.log("policies not reloaded; keeping the previous ones").len();
        fs::write(&file, bad).expect("a file");
        eventually(why, || {
            service.log("policies not reloaded; keeping the previous ones").len() > before
        });
        let message =
            service.log("policies not reloaded; keeping the previous ones").pop().expect("a line");
        assert!(message["why"].as_str().expect("text").contains(why), "{message}");
        assert_eq!(service.get("/").field("ratelimit-policy"), r#""root";q=4;w=3600"#);
    }
    fs::remove_file(&file).expect("it is there");
    let before = service.log("policies not reloaded; keeping the previous ones").len();
    eventually("it is missed", || {
        service.log("policies not reloaded; keeping the previous ones").len() > before
    });
}

#[test]
fn an_empty_file_and_one_that_lost_its_end_change_nothing() {
    const MESSAGE: &str = "policies not reloaded; keeping the previous ones";
    let two = format!("{ROOT}{}methods = [\"POST\"]\n", ROOT.replace("root", "other"));
    let service = service(&two);
    let file = service.path("p.toml");
    for (text, why) in [
        ("", "the file has no [[policy]]"),
        ("# nothing\n", "the file has no [[policy]]"),
        (&two[..two.len() - 20], "the file has lost its end"),
        (&two[..two.len() - 1], "the file has lost its end"),
    ] {
        let before = service.log(MESSAGE).len();
        fs::write(&file, text).expect("a file");
        eventually(why, || service.log(MESSAGE).len() > before);
        let line = service.log(MESSAGE).pop().expect("a line")["why"].to_string();
        assert!(line.contains(why), "{line}");
        assert_eq!(service.get("/").field("ratelimit-policy"), r#""root";q=2;w=3600"#);
    }
    fs::write(&file, ROOT).expect("a file");
    eventually("the last policy may be removed", || service.log("policies reloaded").len() == 1);
    fs::write(&file, "policy = []\n").expect("a file");
    eventually("and the others too", || service.log("policies reloaded").len() == 2);
    assert_eq!(service.get("/").field("ratelimit-policy"), r#""default";q=5;w=60"#);
}

#[test]
fn sighup_without_a_file_changes_nothing() {
    let service = Settings::memory().start();
    service.signal("-HUP");
    eventually("it says so", || !service.log("nothing to reload: POLICIES is not set").is_empty());
    assert_eq!(service.get("/").status, 200);
}

#[test]
fn sighup_reloads_the_file_at_once() {
    let service = service(ROOT);
    service.signal("-HUP");
    eventually("it is read", || service.log("policies reloaded").len() == 1);
    assert_eq!(service.get("/").status, 200);
}

#[test]
fn the_algorithm_of_a_used_key_can_change() {
    let service = service(ROOT);
    assert_eq!(service.statuses(3), [200, 200, 429]);
    let sliding = format!("{ROOT}algorithm = \"sliding\"\n");
    fs::write(service.path("p.toml"), sliding).expect("a file");
    eventually("it is read", || service.log("policies reloaded").len() == 1);
    assert_eq!(service.statuses(3), [200, 200, 429]);
}

#[test]
fn a_bad_file_stops_the_start() {
    let settings =
        Settings::memory().file("p.toml", "[[policy]]\nname = \"a\"\nlimit = -1\nwindow = 1\n");
    let (code, message) = settings.set("POLICIES", "p.toml").refusal();
    assert_eq!(code, 2);
    assert!(
        message.contains("POLICIES p.toml: policy[0] \"a\".limit: limit must be an integer"),
        "{message}"
    );
    let (_, message) = Settings::memory().set("POLICIES", "none.toml").refusal();
    assert!(message.contains("POLICIES none.toml: No such file"), "{message}");
}
