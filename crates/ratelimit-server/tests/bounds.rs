//! What many clients together can take: connections, memory, keys. The service stays up, and Redis is
//! found again.

use std::io::{BufReader, Write};
use std::thread;

use ratelimit_harness::{eventually, servers, Setup};

use crate::api::read_status;
use crate::service::Settings;

const MIB: usize = 1024 * 1024;

#[test]
fn idle_connections_leave_descriptors_to_find_redis_again() {
    // By socket, because after a restart the server listens on another port.
    let mut server = Setup::module(&servers()[0]).with("unixsocket ./socket").start();
    let url = format!("redis+unix://{}", server.dir().join("socket").display());
    let service = Settings::at(&url).set("REQUEST_DEADLINE", "10m").max_files(300).start();
    eventually("the number is lowered, with a line", || {
        let mut lines = service.raw_log().into_iter();
        lines.any(|line| line.contains("fewer connections") && line.contains("connections\":150"))
    });
    eventually("Redis decides", || service.log("the backend decides").len() == 1);
    let idle: Vec<_> = (0..400).map(|_| service.connect()).collect();
    server.kill();
    eventually("the loss is seen", || service.log("the backend does not decide").len() == 1);
    let server = server.restart();
    eventually("Redis decides again", || service.log("the backend decides").len() == 2);
    assert!(service.log("cannot accept a connection").is_empty());
    drop((server, idle));
}

#[test]
fn the_limit_of_open_files_is_raised_where_the_system_permits() {
    let service = Settings::memory().set("MAX_CONNECTIONS", 100).max_files(10_000).start();
    assert!(!service.raw_log().join("").contains("fewer connections"));
}

#[test]
#[cfg(target_os = "linux")]
fn three_hundred_huge_bodies_at_once_share_one_bound() {
    let service = Settings::memory().set("REQUEST_DEADLINE", "2m").start();
    let check = r#"{"key":"k","limit":1000,"window":3600"#;
    let body = format!("{check}{}}}", " ".repeat(MIB - check.len() - 1));
    let head = format!(
        "POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: {}\r\n\r\n",
        body.len()
    );
    thread::scope(|threads| {
        let (service, head, body) = (&service, &head, &body);
        let post = move || {
            let mut stream = service.connect();
            stream.write_all(head.as_bytes()).expect("it reads");
            stream.write_all(body.as_bytes()).expect("it reads");
            read_status(&mut BufReader::new(stream))
        };
        let posts: Vec<_> = (0..300).map(|_| threads.spawn(post)).collect();
        for post in posts {
            assert_eq!(post.join().expect("an answer"), 200);
        }
    });
    let items = format!("{{\"checks\":[{}{{}}]}}", "{},".repeat(MIB / 3 - 10));
    assert_eq!(service.post("/v1/check/batch", &items).status, 400);
    let peak = service.peak_bytes() as usize;
    assert!(peak < 128 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn a_stalled_flood_of_huge_bodies_does_not_hold_up_the_usual_checks() {
    let service = Settings::memory().set("REQUEST_DEADLINE", "3s").start();
    let head = format!(
        "POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: {MIB}\r\n\r\n"
    );
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = service.connect();
            stream.write_all(head.as_bytes()).expect("it reads");
            stream
        })
        .collect();
    let check = r#"{"key":"k","limit":1000,"window":3600}"#;
    assert_eq!(service.check(check)["remaining"], 999);
    let statuses: Vec<_> =
        stalled.into_iter().map(|stream| read_status(&mut BufReader::new(stream))).collect();
    assert!(statuses.iter().all(|status| [408, 503].contains(status)), "{statuses:?}");
}

#[test]
fn a_full_memory_denies_no_known_key_and_says_so() {
    let settings = Settings::memory().set("MEMORY_KEYS", 50);
    let service = settings.start();
    let post = |i: i32| {
        service.post("/v1/check", &format!(r#"{{"key":"k{i}","limit":9,"window":3600}}"#)).status
    };
    let statuses: Vec<_> = (0..60).map(post).collect();
    assert!(statuses[..48].iter().all(|&status| status == 200), "{statuses:?}");
    // The place of the probe's key may become free meanwhile.
    let number = |status| statuses[50..].iter().filter(|&&other| other == status).count();
    assert!(number(503) >= 8 && number(503) + number(200) == 10, "{statuses:?}");
    assert_eq!(post(0), 200, "a known key is still decided");
    let line = &service.log("not decided")[0];
    assert_eq!(line["error"], "all 50 keys of the memory backend are in use");
    let mut more = 60..;
    eventually("the place of the probe is taken too, and the metric tells", || {
        post(more.next().expect("without end"));
        service.metric("ratelimit_backend_up") == 0.0
    });

    let local = Settings::nowhere().set("MEMORY_KEYS", 1).set("KEY_BY", "header:X-Tenant").start();
    let status = |tenant: &str| local.get_with("/", &[("X-Tenant", tenant)]).status;
    eventually("one key is in use", || status("a") == 200);
    eventually("another one has no place", || status("b") == 503);
    eventually("the log says why", || {
        local.log("decided without Redis").iter().any(|line| {
            line["mode"] == "closed" && line["why"] == "all 1 keys of the memory backend are in use"
        })
    });
}
