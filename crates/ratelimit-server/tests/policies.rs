//! The file of policies: by route, by kind of key, reloaded while the service runs.

use std::fs;

use ratelimit_harness::eventually;

use crate::service::{Service, Settings};

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
        ("[[policy]]\nname =", "expected"),
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
    assert_eq!(code, 1);
    assert!(
        message.contains("POLICIES p.toml: policy[0] \"a\".limit: limit must be an integer"),
        "{message}"
    );
    let (_, message) = Settings::memory().set("POLICIES", "none.toml").refusal();
    assert!(message.contains("POLICIES none.toml: No such file"), "{message}");
}
