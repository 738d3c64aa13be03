//! `ratelimit-server healthy`, the health check of a container.

use std::io::Write;
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::service::{free_port, Settings};

fn ask(settings: Settings) -> Output {
    settings.flag("healthy").output()
}

#[track_caller]
fn refuses(settings: Settings, why: &str) {
    let output = ask(settings);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: ") && message.contains(why), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_live_instance_is_healthy_wherever_it_listens() {
    for (bind, seen_as) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")] {
        let port = free_port();
        let at = || Settings::memory().set("BIND", bind).set("PORT", port);
        let mut service = at().begin();
        ratelimit_harness::eventually("it listens", || {
            service.raw_log().iter().any(|line| line.contains(&format!("{seen_as}:{port}")))
        });
        let output = ask(at());
        assert!(output.status.success(), "{bind}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        service.signal("-TERM");
        assert!(service.ended().success());
        refuses(at(), "does not answer");
    }
}

#[test]
fn an_instance_on_all_of_ipv6_is_asked_on_its_loopback() {
    let listener = match TcpListener::bind("[::1]:0") {
        Ok(listener) => listener,
        Err(error) => panic!("this machine has no IPv6 loopback, which the test needs: {error}"),
    };
    let port = listener.local_addr().expect("it has an address").port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it is asked");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it reads");
    });
    let output = ask(Settings::memory().set("BIND", "::").set("PORT", port));
    assert!(output.status.success(), "{output:?}");
    answering.join().expect("it was asked");
}

#[test]
fn an_instance_that_waits_for_redis_is_not_healthy() {
    let port = free_port();
    let settings = || Settings::nowhere().set("START_DEADLINE", "10m").set("PORT", port);
    let waiting = settings().begin();
    ratelimit_harness::eventually("it waits", || !waiting.raw_log().is_empty());
    refuses(settings(), "does not answer");
}

#[test]
fn another_status_silence_and_noise_are_not_healthy() {
    for (words, why) in [
        (&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], "answered \"HTTP/1.1 503 \""),
        (b"SSH-2.0-OpenSSH_9.2 hello\r\n", "answered \"SSH-2.0-OpenS"),
        (b"HTTP/1.1", "does not answer"),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        // Stays connected and sends nothing more.
        let talking = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it is asked");
            stream.write_all(words).expect("it reads");
            let mut rest = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        });
        let start = Instant::now();
        refuses(Settings::memory().set("PORT", port), why);
        assert!(start.elapsed() < Duration::from_secs(30), "it has a deadline of its own");
        talking.join().expect("it was asked");
    }
}

#[test]
fn the_port_must_be_known_and_the_settings_valid() {
    refuses(Settings::memory(), "PORT must be the port of the instance");
    let output = ask(Settings::memory().set("PORT", "many"));
    assert_eq!(output.status.code(), Some(2));
}
