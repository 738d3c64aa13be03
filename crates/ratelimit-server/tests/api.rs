//! `GET /`: the limit, the keys that it counts against, and one count for all instances.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use ratelimit_harness::{on_every_server, Setup, ALGORITHMS};

use crate::service::{server, Settings};

const WELCOME: &str = "Welcome to the Rate Limited API!";
const DENIED: &str = r#"{"message":"Too many requests. Please try again later."}"#;

#[test]
fn allows_exactly_the_limit_by_module_and_by_script() {
    on_every_server(|binary| {
        for setup in [Setup::module(binary), Setup::plain(binary)] {
            let server = setup.start();
            let service = Settings::on(&server).start();
            for remaining in (0..5).rev() {
                let answer = service.get("/");
                assert_eq!((answer.status, &*answer.body), (200, WELCOME));
                assert_eq!(answer.field("content-type"), "text/plain; charset=utf-8");
                assert_eq!(answer.field("ratelimit-policy"), r#""default";q=5;w=60"#);
                let standing = format!("\"default\";r={remaining};t=");
                assert!(answer.field("ratelimit").starts_with(&standing), "{:?}", answer.headers);
            }
            for _ in 0..3 {
                let answer = service.get("/");
                assert_eq!((answer.status, &*answer.body), (429, DENIED));
                assert_eq!(answer.field("content-type"), "application/json");
                let wait: u64 = answer.field("retry-after").parse().expect("whole seconds");
                assert!((1..=60).contains(&wait), "{wait}");
                assert_eq!(answer.field("ratelimit"), format!("\"default\";r=0;t={wait}"));
            }
            let mut connection = server.connect();
            assert_eq!(connection.must("GET ratelimit:default:ip:127.0.0.1:fixed").text(), "5");
        }
    });
}

#[test]
fn two_instances_share_one_limit() {
    let server = server();
    let [a, b] = ["a", "b"].map(|name| {
        let settings = Settings::on(&server).set("RATE_LIMIT", 7).set("REMEMBER_DENIALS", 0);
        settings.set("INSTANCE", name).start()
    });
    let turns = [&a, &b].into_iter().cycle().take(20);
    let allowed = turns.filter(|service| service.get("/").status == 200).count();
    assert_eq!(allowed, 7);
    let check = r#"{"key":"k","limit":9,"window":60}"#;
    assert_eq!(a.check(check)["instance"], "a");
    let second = b.check(check);
    assert_eq!((&second["instance"], second["remaining"].as_u64()), (&"b".into(), Some(7)));
    assert_eq!(second["source"], "module");
}

#[test]
fn the_memory_backend_limits_alone_by_each_algorithm() {
    for algorithm in ALGORITHMS {
        let settings = Settings::memory().set("RATE_LIMIT", 3).set("TIME_WINDOW", "1h");
        let service = settings.set("ALGORITHM", algorithm).start();
        assert_eq!(service.statuses(5), [200, 200, 200, 429, 429], "{algorithm}");
        assert_eq!(service.get("/readyz").status, 200);
    }
    let settings = Settings::memory().set("RATE_LIMIT", 1).set("TIME_WINDOW", "1h");
    let service = settings.set("ALGORITHM", "bucket").set("BURST", 2).start();
    assert_eq!(service.statuses(3), [200, 200, 429]);
}

#[test]
fn each_kind_of_key_has_its_limit_else_the_address_has() {
    let cases = [
        ("bearer", "Authorization", ["Bearer one", "Bearer two"]),
        ("api-key", "X-API-Key", ["one", "two"]),
        ("header:X-Tenant", "x-tenant", ["one", "two"]),
    ];
    for (key_by, header, values) in cases {
        let server = server();
        let service = Settings::on(&server).set("RATE_LIMIT", 2).set("KEY_BY", key_by).start();
        for value in values {
            let status_of = || service.get_with("/", &[(header, value)]).status;
            assert_eq!(
                [status_of(), status_of(), status_of()],
                [200, 200, 429],
                "{key_by} {value}"
            );
        }
        assert_eq!(service.statuses(3), [200, 200, 429], "{key_by}: without a value, by address");
        let keys = server
            .connect()
            .must("KEYS *default:*")
            .array()
            .iter()
            .map(|k| k.text())
            .collect::<Vec<_>>();
        assert_eq!(keys.len(), 3, "{keys:?}");
        let is_secret = key_by != "header:X-Tenant";
        assert_eq!(is_secret, !keys.iter().any(|key| key.contains("one")), "{keys:?}");
    }
}

#[test]
fn only_a_trusted_proxy_may_forward_an_address() {
    let status_of = |service: &crate::service::Service, client: &str| {
        service.get_with("/", &[("X-Forwarded-For", client)]).status
    };
    let trusting = Settings::memory().set("RATE_LIMIT", 1).set("TRUSTED_PROXIES", "127.0.0.0/8");
    let trusting = trusting.start();
    assert_eq!(status_of(&trusting, "203.0.113.1"), 200);
    assert_eq!(status_of(&trusting, "203.0.113.2"), 200);
    assert_eq!(status_of(&trusting, "203.0.113.2"), 429);
    assert_eq!(
        status_of(&trusting, "spoofed, 203.0.113.2"),
        429,
        "the entry of the nearest proxy counts"
    );
    let strict = Settings::memory().set("RATE_LIMIT", 1).start();
    assert_eq!(status_of(&strict, "203.0.113.1"), 200);
    assert_eq!(status_of(&strict, "203.0.113.2"), 429);
}

#[test]
fn a_head_is_counted_and_other_methods_and_paths_are_not() {
    let service = Settings::memory().set("RATE_LIMIT", 2).start();
    let url = format!("http://127.0.0.1:{}/", service.port());
    let head = crate::service::agent().head(&url).call().expect("an answer");
    assert_eq!(head.status(), 200);
    let delete = crate::service::agent().delete(&url).call().expect("an answer");
    assert_eq!(delete.status(), 405);
    assert_eq!(delete.headers()["allow"], "GET,HEAD");
    assert_eq!(service.get("/nothing").status, 404);
    assert_eq!(service.statuses(2), [200, 429]);
}

#[test]
fn holds_and_answers_a_thousand_connections() {
    let server = server();
    let service = Settings::on(&server).set("RATE_LIMIT", 2000).set("TIME_WINDOW", "1h").start();
    let mut connections: Vec<_> = (0..1000).map(|_| BufReader::new(service.connect())).collect();
    for _round in 0..2 {
        for connection in &mut connections {
            connection
                .get_mut()
                .write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
                .expect("it listens");
        }
        for connection in &mut connections {
            assert_eq!(read_status(connection), 200);
        }
    }
    assert_eq!(
        service.metric(r#"ratelimit_decisions_total{policy="default",outcome="allowed"}"#),
        2000.0
    );
    assert_eq!(service.metric(r#"ratelimit_answers_total{source="module"}"#), 2000.0);
    assert_eq!(service.get("/").status, 429, "exactly the limit was allowed");
}

#[test]
fn above_max_connections_others_wait_until_one_ends() {
    let service = Settings::memory().set("MAX_CONNECTIONS", 2).start();
    let mut held: Vec<_> = (0..2).map(|_| BufReader::new(service.connect())).collect();
    for connection in &mut held {
        connection.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").expect("it listens");
        assert_eq!(read_status(connection), 200);
    }
    let mut third = BufReader::new(service.connect());
    third.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").expect("the system's queue");
    let stream = third.get_ref();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a time");
    let mut byte = [0];
    assert!(third.get_mut().read(&mut byte).is_err(), "it waits");
    third.get_ref().set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a time");
    drop(held);
    assert_eq!(read_status(&mut third), 200);
}

/// Reads one whole answer and returns its status.
pub fn read_status(connection: &mut BufReader<TcpStream>) -> u16 {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).expect("an answer");
        assert!(!line.is_empty(), "the connection was closed without an answer");
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().expect("a status");
        }
        if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("the body");
    status
}
