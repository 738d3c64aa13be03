//! The end: requests that have begun are finished, and no wait is endless.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ratelimit_harness::eventually;
use ureq::Agent;

use crate::api::read_status;
use crate::service::Settings;

#[test]
fn under_load_no_request_is_lost() {
    for signal in ["-TERM", "-INT"] {
        let mut service = Settings::memory().set("RATE_LIMIT", 1_000_000).start();
        let port = service.port();
        let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|threads| {
            for keeps_alive in [true, true, true, true, false, false] {
                let (answered, stop) = (&answered, &stop);
                threads.spawn(move || load(port, keeps_alive, answered, stop));
            }
            eventually("load", || answered.load(Relaxed) > 200);
            service.signal(signal);
            let status = service.ended();
            stop.store(true, Relaxed);
            assert!(status.success(), "{status}");
        });
        eventually("the log says so", || service.log("ended").len() == 1);
    }
}

/// Sends requests until the port is closed. A refused connection is the end, even if the system had
/// queued it when the port was closed. Any other connection without an answer is a loss.
fn load(port: u16, keeps_alive: bool, answered: &AtomicUsize, stop: &AtomicBool) {
    let connect = || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        Some(BufReader::new(stream))
    };
    while !stop.load(Relaxed) {
        let Some(mut connection) = connect() else { return };
        let mut is_new = true;
        loop {
            let more = if keeps_alive { "keep-alive" } else { "close" };
            let request = format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: {more}\r\n\r\n");
            let sent = connection.get_mut().write_all(request.as_bytes());
            if is_new && sent.and_then(|()| connection.fill_buf().map(drop)).is_err() {
                return;
            }
            is_new = false;
            let (status, is_last) = read_answer(&mut connection);
            assert_eq!(status, 200);
            answered.fetch_add(1, Relaxed);
            if is_last || !keeps_alive {
                break;
            }
        }
    }
}

fn read_answer(connection: &mut BufReader<std::net::TcpStream>) -> (u16, bool) {
    let head = connection.fill_buf().expect("an answer");
    let is_last = String::from_utf8_lossy(head).contains("connection: close");
    (read_status(connection), is_last)
}

#[test]
fn the_end_waits_for_a_body_on_its_way() {
    let mut service = Settings::memory().start();
    let body = r#"{"key":"k","limit":1,"window":60}"#;
    let mut connection = BufReader::new(service.connect());
    let head = format!(
        "POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(head.as_bytes()).expect("it listens");
    connection.get_mut().write_all(&body.as_bytes()[..5]).expect("it listens");
    service.signal("-TERM");
    eventually("it is ending", || {
        service.log("ending: finishing the requests that have begun").len() == 1
    });
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(("127.0.0.1", service.port())).is_err()
    });
    connection.get_mut().write_all(&body.as_bytes()[5..]).expect("it still reads");
    assert_eq!(read_status(&mut connection), 200);
    assert!(service.ended().success());
}

#[test]
fn a_request_that_never_finishes_is_cut_off_at_the_deadline() {
    let mut service = Settings::memory().set("SHUTDOWN_DEADLINE", "300ms").start();
    let mut connection = service.connect();
    let head =
        b"POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    connection.write_all(head).expect("it listens");
    let other = service.get("/healthz");
    assert_eq!(other.status, 200);
    service.signal("-TERM");
    let start = Instant::now();
    assert_eq!(service.ended().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(9), "not the time that a body has");
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let mut service = Settings::memory().start();
    let agent: Agent = Agent::new_with_defaults();
    let url = format!("http://127.0.0.1:{}/healthz", service.port());
    assert_eq!(agent.get(&url).call().expect("an answer").status(), 200);
    service.signal("-TERM");
    assert!(service.ended().success());
    let mut service = Settings::memory().start();
    service.signal("-INT");
    assert!(service.ended().success());
}
