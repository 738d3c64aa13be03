//! The start: the service waits for a server that is not up yet, but not for one that rejects it.

use std::net::TcpStream;

use ratelimit_harness::{eventually, servers, Server, Setup};
use serde_json::{json, Value};

use crate::service::{free_port, server, Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":100,"window":60}"#;
const WAITING: &str = "waiting for Redis";

/// A server that has ended; its port stays reserved for it.
fn gone() -> Server {
    let mut server = server();
    server.kill();
    server
}

fn at(server: &Server) -> Settings {
    Settings::on(server)
}

#[track_caller]
fn waits(service: &Service, lines: usize) {
    eventually("it says that it waits", || service.log(WAITING).len() >= lines);
}

#[test]
fn waits_for_a_late_server_with_a_closed_port_and_a_log_line() {
    let mut server = gone();
    let port = free_port();
    let mut service = at(&server).set("PORT", port).set("START_DEADLINE", "10m").begin();
    waits(&service, 3);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it must not look ready");
    for (i, line) in service.log(WAITING).iter().enumerate() {
        assert_eq!(line["server"], format!("127.0.0.1:{}", server.port()));
        assert!(line["why"].as_str().expect("text").contains("refused"), "{line}");
        let left_s = line["left_s"].as_u64().expect("seconds");
        assert!(left_s < 600 - i as u64, "one a second at most: {line}");
    }
    server.start_again();
    service.listens();
    assert_eq!(service.check(CHECK)["source"], "module");
    eventually("it is ready", || service.get("/readyz").status == 200);
}

#[test]
fn waits_for_a_hanging_server() {
    let server = server();
    server.pause();
    let mut service = at(&server).set("START_DEADLINE", "10m").begin();
    waits(&service, 1);
    assert_eq!(service.log(WAITING)[0]["why"], "no answer yet");
    server.resume();
    service.listens();
    assert_eq!(service.check(CHECK)["source"], "module");
}

#[test]
fn waits_for_a_server_that_loads_its_data() {
    let server = server();
    let mut connection = server.connect();
    connection.must("DEBUG POPULATE 8000 key 100");
    connection.must("CONFIG SET loading-process-events-interval-bytes 1024");
    // 8,000 of these are 40 seconds.
    connection.must("CONFIG SET key-load-delay 5000");
    std::thread::scope(|threads| {
        let reloading = threads.spawn(|| connection.must("DEBUG RELOAD"));
        let mut other = server.connect();
        eventually("it loads", || other.info("loading") == "1");
        let mut service = at(&server).set("START_DEADLINE", "10m").begin();
        let loads = |line: &Value| line["why"].to_string().contains("loading the dataset");
        eventually("it says why it waits", || service.log(WAITING).iter().any(loads));
        other.must("CONFIG SET key-load-delay 0");
        service.listens();
        assert_eq!(service.check(CHECK)["source"], "module");
        reloading.join().expect("it is loaded");
    });
}

#[test]
fn after_the_deadline_ends_with_1_and_the_reason() {
    let port = free_port();
    for (url, place) in [
        (format!("redis://u:hush@127.0.0.1:{port}"), format!("127.0.0.1:{port}")),
        (format!("redis-cluster://u:hush@127.0.0.1:{port}"), "the cluster at 127.0.0.1".into()),
        (format!("redis-sentinel://u:hush@127.0.0.1:{port}/m"), "the master \"m\" of".into()),
    ] {
        let mut service = Settings::at(&url).set("START_DEADLINE", "3s").begin();
        assert_eq!(service.ended().code(), Some(1), "{url}");
        eventually("the log shows that it waits", || (1..=2).contains(&service.log(WAITING).len()));
        eventually("it says why", || !service.errors().is_empty());
        let message = service.errors();
        assert!(message.starts_with(&format!("error: {place}")), "{message}");
        assert!(message.contains("has not answered within 3s (START_DEADLINE): "), "{message}");
        assert!(message.contains("refused") || url.contains("sentinel"), "{message}");
        assert!(!(message + &service.raw_log().join("")).contains("hush"));
    }
}

#[test]
fn a_wrong_password_ends_the_start_at_once() {
    let server = server();
    server.connect().must("CONFIG SET requirepass right-hush");
    let port = server.port();
    let watching = Setup::sentinel(&server, 1).start();
    let sentinel = watching.port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://:wrong-hush@127.0.0.1:{port}"),
        format!("redis://nobody:wrong-hush@127.0.0.1:{port}"),
        format!("redis-cluster://:wrong-hush@127.0.0.1:{port}"),
        format!("redis-sentinel://:wrong-hush@127.0.0.1:{sentinel}/mymaster"),
    ] {
        let (code, message) = Settings::at(&url).set("START_DEADLINE", "10m").refusal();
        assert_eq!(code, 1, "{url}");
        assert!(message.contains("rejects the user or the password: "), "{message}");
        assert!(!message.contains("hush"), "{message}");
    }
    let right = Settings::at(&format!("redis://:right-hush@127.0.0.1:{port}")).start();
    assert_eq!(right.check(CHECK)["source"], "module");
}

#[test]
fn a_wrong_setting_is_reported_before_waiting() {
    let server = gone();
    let waiting = || at(&server).set("START_DEADLINE", "10m");
    let (_, message) = waiting().set("POLICIES", "none.toml").refusal();
    assert!(message.contains("POLICIES none.toml"), "{message}");
    let other = Settings::memory().start();
    let (_, message) = waiting().set("PORT", other.port()).refusal();
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn a_signal_ends_the_wait() {
    let server = gone();
    for signal in ["-TERM", "-INT"] {
        let mut service = at(&server).set("START_DEADLINE", "10m").begin();
        waits(&service, 1);
        service.signal(signal);
        assert!(service.ended().success());
        assert_eq!(service.errors(), "");
    }
}

#[test]
fn does_not_wait_without_a_deadline_or_in_memory() {
    let server = gone();
    let local = at(&server).set("START_DEADLINE", 0).start();
    assert_eq!(local.check(CHECK)["source"], "local");
    let answer = local.get("/readyz");
    assert_eq!((answer.status, &answer.json()["ready"]), (503, &json!(false)));
    let memory = Settings::memory().set("REDIS_HOST", "nowhere.invalid").start();
    assert_eq!(memory.check(CHECK)["source"], "memory");
    assert!(local.log(WAITING).is_empty() && memory.log(WAITING).is_empty());
}

#[test]
fn a_user_without_the_right_to_ping_can_start() {
    let server = Setup::module(&servers()[0]).start();
    server.connect().must("ACL SETUSER limiter on >x ~* +ratelimit.check +ratelimit.peek");
    let service = Settings::at(&format!("redis://limiter:x@127.0.0.1:{}", server.port())).start();
    assert_eq!(service.check(CHECK)["source"], "module");
}
