//! Slow, huge and malformed requests: each gets a clear answer, and the others go on.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ratelimit_harness::Random;

use crate::api::read_status;
use crate::service::{Service, Settings};

fn service() -> Service {
    Settings::memory().set("REQUEST_DEADLINE", "500ms").set("RATE_LIMIT", 1_000_000).start()
}

/// Sends bytes and returns the status of the answer.
fn send(service: &Service, bytes: &[u8]) -> u16 {
    let mut stream = service.connect();
    // The answer may come before the service has read everything.
    let _ = stream.write_all(bytes);
    read_status(&mut BufReader::new(stream))
}

fn is_well(service: &Service) {
    assert_eq!(service.get("/").status, 200);
}

#[test]
fn malformed_requests_are_400() {
    let service = service();
    let cases: &[&[u8]] = &[
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nname with space: x\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
    ];
    for case in cases {
        assert_eq!(send(&service, case), 400, "{}", String::from_utf8_lossy(case));
    }
    let others = ["OPTIONS * HTTP/1.1", "CONNECT h:80 HTTP/1.1", "BREW / HTTP/1.1"];
    for line in others {
        let status = send(&service, format!("{line}\r\nhost: h\r\n\r\n").as_bytes());
        assert!((400..500).contains(&status), "{line}: {status}");
    }
    assert_eq!(send(&service, b"GET http://h/ HTTP/1.1\r\nhost: h\r\n\r\n"), 200);
    is_well(&service);
}

#[test]
fn http_1_1_needs_one_valid_host() {
    let service = service();
    for (lines, status) in [
        ("", 400),
        ("host: a\r\nhost: b\r\n", 400),
        ("host: h\r\nHost: h\r\n", 400),
        ("host: a b\r\n", 400),
        ("host: u@h\r\n", 400),
        ("host: h/x\r\n", 400),
        ("host: h:x\r\n", 400),
        ("host:\r\n", 200),
        ("host: h\r\n", 200),
        ("host: [::1]:3000\r\n", 200),
    ] {
        for path in ["/", "/healthz"] {
            let request = format!("GET {path} HTTP/1.1\r\n{lines}\r\n");
            assert_eq!(send(&service, request.as_bytes()), status, "{path} {lines:?}");
        }
    }
    let old = |lines: &str| {
        let mut stream = service.connect();
        write!(stream, "GET / HTTP/1.0\r\n{lines}\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered and closed");
        answer["HTTP/1.0 ".len()..][..3].to_owned()
    };
    assert_eq!(old(""), "200", "HTTP/1.0 knows no Host");
    assert_eq!(old("host: a\r\nhost: b\r\n"), "400");
}

/// As `nc -N` does.
#[test]
fn a_client_that_ends_its_side_gets_every_answer() {
    let server = crate::service::server();
    let service = Settings::on(&server).set("RATE_LIMIT", 1000).set("TIME_WINDOW", "1h").start();
    for _ in 0..40 {
        let mut stream = service.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered and closed");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("API!"), "{answer}");
    }
    let allowed = r#"ratelimit_decisions_total{policy="default",outcome="allowed"}"#;
    assert_eq!(service.metric(allowed), 40.0);
}

#[test]
fn huge_headers_are_431_and_a_huge_target_is_a_4xx() {
    let service = service();
    let huge = "x".repeat(1_000_000);
    assert_eq!(send(&service, format!("GET / HTTP/1.1\r\nhuge: {huge}\r\n\r\n").as_bytes()), 431);
    let many: String = (0..5_000).map(|i| format!("h{i}: x\r\n")).collect();
    assert_eq!(send(&service, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()), 431);
    let few: String = (0..101).map(|i| format!("h{i}: x\r\n")).collect();
    assert_eq!(send(&service, format!("GET / HTTP/1.1\r\n{few}\r\n").as_bytes()), 431);
    let target = send(&service, format!("GET /{huge} HTTP/1.1\r\n\r\n").as_bytes());
    assert!([414, 431].contains(&target), "{target}");
    is_well(&service);
}

#[test]
fn a_huge_body_is_413_with_and_without_its_length() {
    let service = service();
    let head = "POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let body = "x".repeat(2_000_000);
    let with_length = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(send(&service, with_length.as_bytes()), 413);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n1e8480\r\n{body}\r\n0\r\n\r\n");
    assert_eq!(send(&service, chunked.as_bytes()), 413);
    let announced = format!("{head}content-length: 99999999999\r\n\r\n");
    assert_eq!(send(&service, announced.as_bytes()), 413, "without any byte of the body");
    is_well(&service);
}

#[test]
fn a_client_that_sends_too_slowly_gets_408() {
    let service = service();
    let slow_head =
        trickle(&service, b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(slow_head, 408);
    let head =
        b"POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    assert_eq!(send(&service, head), 408);
    is_well(&service);
}

/// Sends a byte each 20 ms.
fn trickle(service: &Service, bytes: &[u8]) -> u16 {
    let mut stream = service.connect();
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    read_status(&mut BufReader::new(stream))
}

#[test]
fn slow_clients_do_not_keep_others_waiting() {
    let service = service();
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = service.connect();
            stream.write_all(b"GET / HTT").expect("it listens");
            stream
        })
        .collect();
    assert_eq!(service.statuses(20), [200; 20]);
    for stream in slow {
        assert_eq!(read_status(&mut BufReader::new(stream)), 408);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_reads_no_answer_is_disconnected() {
    let settings = Settings::memory().set("REQUEST_DEADLINE", "500ms").set("MAX_CONNECTIONS", 1);
    let service = settings.start();
    let mut greedy = service.connect();
    greedy.set_write_timeout(Some(Duration::from_secs(1))).expect("a time");
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n".repeat(100);
    // Until the buffers of both systems are full.
    while greedy.write_all(&request).is_ok() {}
    is_well(&service);
}

#[test]
fn an_idle_connection_ends_without_an_answer() {
    let service = service();
    let mut silent = service.connect();
    let mut message = Vec::new();
    silent.read_to_end(&mut message).expect("it is closed");
    assert_eq!(message, b"");
    let mut used = BufReader::new(service.connect());
    used.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").expect("it listens");
    assert_eq!(read_status(&mut used), 200);
    used.read_to_end(&mut message).expect("it is closed");
    assert_eq!(message, b"");
}

#[test]
fn noise_and_broken_connections_do_no_harm() {
    let service = service();
    let mut random = Random(7);
    for i in 0..200 {
        let mut stream = service.connect();
        let noise: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        let _ = stream.write_all(&noise);
        if i % 2 == 0 {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    for path in ["/%00", "/v1/auth?policy=%ff", "/v1/check", "/../../etc/passwd", "//", "/?a=%"] {
        let status = service.get(path).status;
        assert!((200..500).contains(&status), "{path}: {status}");
    }
    is_well(&service);
}
