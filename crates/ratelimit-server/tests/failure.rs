//! The service without Redis, and when Redis is back.

use std::process::Command;

use ratelimit_harness::{eventually, servers, Setup};
use serde_json::json;

use crate::service::{Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":100,"window":60}"#;

#[track_caller]
fn readiness(service: &Service, status: u16) {
    eventually(&format!("readyz says {status}"), || service.get("/readyz").status == status);
}

#[test]
fn without_a_server_at_the_start_each_mode_decides_unready() {
    let local = Settings::nowhere().set("RATE_LIMIT", 9).set("INSTANCES", 3).start();
    assert_eq!(local.statuses(5), [200, 200, 200, 429, 429], "its share of nine for three");
    let decided = local.check(CHECK);
    assert_eq!(decided["source"], "local");
    assert!(["connection", "circuit_open"].contains(&decided["failure"].as_str().expect("a name")));

    let open = Settings::nowhere().set("RATE_LIMIT", 1).set("ON_REDIS_FAILURE", "open").start();
    assert_eq!(open.statuses(5), [200; 5]);
    let answer = open.get("/");
    assert_eq!(
        (answer.field("ratelimit"), answer.field("ratelimit-policy")),
        ("", r#""default";q=1;w=60"#)
    );

    let closed = Settings::nowhere().set("ON_REDIS_FAILURE", "closed").start();
    let answer = closed.get("/");
    assert_eq!((answer.status, answer.field("retry-after")), (503, "1"));
    let message = "The rate limit cannot be checked now. Please try again later.";
    assert_eq!(answer.json(), json!({ "message": message }));
    assert_eq!(closed.post("/v1/check", CHECK).status, 503);
    assert_eq!(closed.get_with("/v1/auth", &[("X-Original-URI", "/")]).status, 503);

    for service in [&local, &open, &closed] {
        let answer = service.get("/readyz");
        assert_eq!((answer.status, &answer.json()["ready"]), (503, &json!(false)));
        assert_eq!(service.get("/healthz").status, 200);
        eventually("the log says so", || service.log("the backend does not answer").len() == 1);
        assert_eq!(service.metric("ratelimit_backend_up"), 0.0);
    }
}

#[test]
fn the_share_decides_until_a_killed_server_is_back() {
    // By socket, because after a restart the server listens on another port.
    let mut server = Setup::module(&servers()[0]).with("unixsocket ./socket").start();
    let url = format!("redis+unix://{}", server.dir().join("socket").display());
    let settings = Settings::at(&url).set("REDIS_DEADLINE", "2s").set("RATE_LIMIT", 1000);
    let service = settings.start();
    readiness(&service, 200);
    assert_eq!(service.check(CHECK)["source"], "module");

    server.kill();
    assert_eq!(service.check(CHECK)["source"], "local");
    assert_eq!(service.statuses(5), [200; 5], "no request is lost");
    eventually("the loss is seen", || service.metric("ratelimit_backend_up") == 0.0);
    assert_eq!(service.get("/readyz").status, 200, "it has decided before, and goes on");
    assert!(service.metric(r#"ratelimit_fallbacks_total{mode="local"}"#) >= 6.0);
    assert!(service.metric(r#"ratelimit_failures_total{kind="connection"}"#) >= 1.0);

    let server = server.restart();
    eventually("the server decides again", || service.check(CHECK)["source"] == "module");
    readiness(&service, 200);
    eventually("the log says so", || service.log("the backend answers").len() == 2);
    assert_eq!(service.log("the backend does not answer").len(), 1);
    drop(server);
}

#[test]
fn a_hanging_server_costs_a_request_only_the_deadline() {
    let server = Setup::module(&servers()[0]).start();
    let service = Settings::on(&server).set("REDIS_DEADLINE", "300ms").start();
    eventually("the server decides", || service.check(CHECK)["source"] == "module");
    let pid = server.pid().to_string();
    let send = |signal: &str| Command::new("kill").args([signal, &*pid]).status();
    send("-STOP").expect("kill runs");
    let decided = service.check(CHECK);
    assert_eq!((&decided["source"], &decided["failure"]), (&json!("local"), &json!("deadline")));
    eventually("it is left alone", || service.check(CHECK)["failure"] == "circuit_open");
    send("-CONT").expect("kill runs");
    eventually("the server decides again", || service.check(CHECK)["source"] == "module");
}

#[test]
fn with_closed_a_lost_server_makes_the_instance_unready() {
    let mut server = Setup::module(&servers()[0]).start();
    let service = Settings::on(&server).set("ON_REDIS_FAILURE", "closed").start();
    readiness(&service, 200);
    server.kill();
    readiness(&service, 503);
    assert_eq!(service.get("/").status, 503);
    let why = service.get("/readyz").json();
    assert_eq!(why["meanwhile"], "no request is allowed");
}
