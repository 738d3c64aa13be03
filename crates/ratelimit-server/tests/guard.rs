//! The guard of docker/nginx-auth-request.conf on a real nginx, against visitors who try to pass it
//! without being counted, or who send what is merely unusual.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use ratelimit_harness::Random;

use crate::nginx::{guarded, Nginx, ADDRESS, AUTH_REQUEST};
use crate::service::{free_port, server, Service, Settings};
use crate::upstream::Upstream;

const ASKS: &str = "auth_request /_ratelimit;";
const OPENS: (&str, &str) =
    ("# error_page 502 504 = @unlimited;", "error_page 502 504 = @unlimited;");

/// The path with a limit that a visitor might try to slip into.
const POLICIES: &str = r#"
[[policy]]
name = "free"
route = "/free"
limit = 1000000
window = "1h"
"#;

fn service(limit: u32) -> Service {
    let settings = Settings::memory().file("p.toml", POLICIES).set("POLICIES", "p.toml");
    settings.set("RATE_LIMIT", limit).set("TRUSTED_PROXIES", ADDRESS).start()
}

/// The same API three times: under a limit that nobody reaches, under a limit of 0, without a guard.
struct Guards {
    upstream: Upstream,
    generous: (Nginx, Service),
    strict: (Nginx, Service),
    unguarded: Nginx,
}

impl Guards {
    fn start() -> Self {
        let upstream = Upstream::start();
        let permits = |and: &str| (ASKS, format!("{and} client_max_body_size 8m;"));
        let opens = || (OPENS.0, OPENS.1.to_owned());
        let guard = |limit| {
            let service = service(limit);
            let mut lines = guarded(&service, &upstream);
            lines.extend([permits(ASKS), opens()]);
            (Nginx::start(AUTH_REQUEST, &lines), service)
        };
        let (generous, strict) = (guard(1_000_000), guard(0));
        let mut lines = guarded(&strict.1, &upstream);
        lines.push(permits(""));
        let unguarded = Nginx::start(AUTH_REQUEST, &lines);
        let guards = Self { upstream, generous, strict, unguarded };
        guards.holds(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "a plain request");
        guards
    }

    /// A request that the API takes is counted, once, and denied where the limit is used up. Another
    /// one never arrives. Returns the status of the API without a guard.
    #[track_caller]
    fn holds(&self, request: &[u8], case: &str) -> u16 {
        let reached = self.upstream.requests();
        let denied = status(&self.strict.0, request);
        assert_eq!(self.upstream.requests(), reached, "{case}: allowed with nothing left");
        let taken = status(&self.unguarded, request);
        let counted = self.counted();
        let allowed = status(&self.generous.0, request);
        let counted = self.counted() - counted;
        if taken == 200 {
            assert_eq!((allowed, denied, counted), (200, 429, 1), "{case}");
        } else {
            assert!((400..500).contains(&allowed), "{case}: {taken}, {allowed}");
            assert!((400..500).contains(&denied), "{case}: {taken}, {denied}");
        }
        taken
    }

    /// How many requests the generous service has allowed.
    fn counted(&self) -> u64 {
        let metrics = self.generous.1.get("/metrics").body;
        let series = r#"ratelimit_decisions_total{policy="default",outcome="allowed"} "#;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.parse().expect("a count"))
    }
}

/// Sends the bytes on a connection of their own and returns the status of the answer.
fn status(nginx: &Nginx, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.port)).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    // The answer may come before nginx has read everything.
    let _ = stream.write_all(request);
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = lines.next().expect("an answer").expect("an answer");
        let status = line.split(' ').nth(1).expect("a status").parse().expect("a number");
        // `100 Continue` is no answer yet.
        if status != 100 {
            return status;
        }
        lines.next();
    }
}

/// A request with these lines and this body.
fn request(line: &str, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    [head.as_bytes(), fields, b"\r\n", body].concat()
}

#[test]
fn hostile_fields_are_counted_like_any_other() {
    let guards = Guards::start();
    let many = |count: usize| (0..count).map(|i| format!("F{i}: x\r\n")).collect::<String>();
    let long = |name: &str| format!("{name}: {}\r\n", "x".repeat(8_000));
    let name_with_a_line = "Authorization: Basic YQ0KWC1PcmlnaW5hbC1VUkk6IC9mcmVlDQo6cA==\r\n";
    let cases = [
        b"X: \x01\r\n".to_vec(),
        b"Authorization: Bearer \x01\r\n".to_vec(),
        b"X-API-Key: \x7f\r\n".to_vec(),
        b"X-API-Key: a\tb\r\n".to_vec(),
        b"X-API-Key: \xff\xfe\r\n".to_vec(),
        b"X-Forwarded-For: \x02\r\n".to_vec(),
        b"X-Forwarded-For: 203.0.113.1, \x1b\r\n".to_vec(),
        b"X-API-Key: a\r\nX-API-Key: b\r\n".to_vec(),
        b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n".to_vec(),
        b"X-Original-URI: /free\r\nX-Original-Method: GET\r\n".to_vec(),
        b"X_Original_URI: /free\r\n".to_vec(),
        b"Upgrade: websocket\r\n".to_vec(),
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n".to_vec(),
        name_with_a_line.into(),
        many(110).into(),
        many(900).into(),
        [long("A"), long("B"), "C: x".repeat(1_200), "\r\n".to_owned()].concat().into(),
        [long("Authorization"), long("X-API-Key"), long("X-Forwarded-For")].concat().into(),
    ];
    for fields in cases {
        let case = String::from_utf8_lossy(&fields[..fields.len().min(70)]).into_owned();
        assert_eq!(guards.holds(&request("GET /", &fields, b""), &case), 200, "{case}");
    }
    let all = [long("Authorization"), long("X-API-Key"), long("X-Forwarded-For")].concat();
    let line = format!("GET /{}", "x".repeat(8_000));
    assert_eq!(guards.holds(&request(&line, all.as_bytes(), b""), "31 KiB in four lines"), 200);
}

#[test]
fn hostile_targets_methods_and_bodies_are_counted() {
    let guards = Guards::start();
    let lines = [
        ("GET //", 200),
        ("GET /?policy=free&key=a b", 400),
        ("GET /?policy=free&key=a%20b", 200),
        ("GET /a?b#c", 200),
        ("GET /<b>`\\^{|}\"", 200),
        ("GET /%00", 400),
        ("GET /%01%7f%ff", 200),
        ("GET /\u{e9}\u{2028}", 200),
        ("GET http://h/", 200),
        ("GET http://free/free/../x", 200),
        ("HEAD /", 200),
        ("OPTIONS /", 200),
        ("PROPFIND /", 200),
        ("A-B_C /", 200),
        ("get /", 400),
        ("TRACE /", 405),
        ("GET /_ratelimit", 403),
    ];
    for (line, expected) in lines {
        assert_eq!(guards.holds(&request(line, b"", b""), line), expected, "{line}");
    }
    assert_eq!(guards.holds(b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 without a host"), 200);
    let body = vec![b'x'; 2_000_000];
    let sized = request("POST /", b"Content-Length: 2000000\r\n", &body);
    assert_eq!(guards.holds(&sized, "a body of 2 MB"), 200);
    let expecting =
        request("POST /", b"Content-Length: 2000000\r\nExpect: 100-continue\r\n", &body);
    assert_eq!(guards.holds(&expecting, "a body that is announced"), 200);
    let chunks = [b"1e8480\r\n", &body[..], b"\r\n0\r\n\r\n"].concat();
    let chunked = request("POST /", b"Transfer-Encoding: chunked\r\n", &chunks);
    assert_eq!(guards.holds(&chunked, "2 MB in chunks"), 200);
    let huge = request("POST /", b"Content-Length: 9000000\r\n", b"");
    assert_eq!(guards.holds(&huge, "more than the API takes"), 413);
}

#[test]
fn random_requests_are_counted_or_not_passed_on() {
    let guards = Guards::start();
    let random = &mut Random(13);
    let mut taken = 0;
    for round in 0..150 {
        // A damaged end of the head would keep nginx waiting for another one.
        let bytes = [random_request(random).as_slice(), b"\r\n\r\n"].concat();
        let case = format!("round {round}: {}", String::from_utf8_lossy(&bytes));
        taken += usize::from(guards.holds(&bytes, &case) == 200);
    }
    assert!((50..150).contains(&taken), "{taken} of them show anything");
}

/// Bytes that nginx may take or not: names, values, their sizes and their number.
fn random_request(random: &mut Random) -> Vec<u8> {
    let methods = ["GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "M-SEARCH", "X_Y"];
    let names = [
        "Authorization",
        "X-API-Key",
        "X-Forwarded-For",
        "Cookie",
        "Accept",
        "X-Y",
        "X_Y",
        "Range",
    ];
    let mut fields = Vec::new();
    let count = if random.one_in(8) { random.below(300) } else { random.below(8) };
    for _ in 0..count {
        fields.extend_from_slice(random.pick(&names).as_bytes());
        fields.extend_from_slice(b": ");
        fields.extend(value(random));
        fields.extend_from_slice(b"\r\n");
    }
    if random.one_in(6) {
        random.damage(&mut fields);
    }
    let method = random.pick(&methods);
    let body = vec![b'b'; random.number(5) as usize];
    let length = format!("Content-Length: {}\r\n", body.len());
    fields.extend_from_slice(if method == "POST" { length.as_bytes() } else { b"" });
    let body = if method == "POST" { body } else { Vec::new() };
    request(&format!("{method} /{}", random.number(9)), &fields, &body)
}

fn value(random: &mut Random) -> Vec<u8> {
    let length = if random.one_in(10) { random.below(8_500) } else { random.below(20) };
    let byte = |random: &mut Random| match random.below(30) {
        // No byte that ends a line.
        0 => [0x01, 0x09, 0x0b, 0x1f, 0x7f, 0x80, 0xff][random.below(7) as usize],
        _ => b' ' + random.below(95) as u8,
    };
    (0..length).map(|_| byte(random)).collect()
}

#[test]
fn only_a_service_that_is_gone_opens_the_guard() {
    let upstream = Upstream::start();
    let lines = |service: &Service, opens: bool| {
        let mut lines = guarded(service, &upstream);
        lines.extend(opens.then(|| (OPENS.0, OPENS.1.to_owned())));
        lines
    };
    let server = server();
    let mut redis = server.connect();
    redis.must("SET ratelimit:default:ip:127.0.0.1:fixed hello");
    let refusing = Settings::on(&server).set("TRUSTED_PROXIES", ADDRESS).start();
    let failing = Settings::nowhere().set("ON_REDIS_FAILURE", "closed").start();
    for opens in [true, false] {
        let refused = Nginx::start(AUTH_REQUEST, &lines(&refusing, opens));
        assert_eq!(refused.statuses(2), [429, 429], "the key holds something else");
        let failed = Nginx::start(AUTH_REQUEST, &lines(&failing, opens));
        assert_eq!(failed.statuses(2), [500, 500], "ON_REDIS_FAILURE=closed");
    }
    let gone = [
        ("server ratelimit:3000", format!("server 127.0.0.1:{}", free_port())),
        ("server api:8080", format!("server 127.0.0.1:{}", upstream.port)),
    ];
    let closed = Nginx::start(AUTH_REQUEST, &gone);
    assert_eq!(closed.statuses(2), [500, 500]);
    assert_eq!(upstream.requests(), 0);
    let [service, api] = gone;
    let open = Nginx::start(AUTH_REQUEST, &[service, api, (OPENS.0, OPENS.1.to_owned())]);
    assert_eq!(open.statuses(2), [200, 200]);
}

#[test]
fn a_key_in_a_header_may_have_any_bytes() {
    let policies = r#"
        [[policy]]
        name = "uploads"
        route = "/never"
        by = "header:X-Ratelimit-Key"
        limit = 1
        window = "1h"
    "#;
    let settings = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml");
    let service = settings.set("TRUSTED_PROXIES", ADDRESS).start();
    let upstream = Upstream::start();
    let mut lines = guarded(&service, &upstream);
    let key = "proxy_set_header X-Ratelimit-Key $ratelimit_user;";
    lines.push(("/v1/auth;", "/v1/auth?policy=uploads;".to_owned()));
    lines.push(("# proxy_set_header X-Ratelimit-Key $ratelimit_user;", key.to_owned()));
    let nginx = Nginx::start(AUTH_REQUEST, &lines);
    let ask = |name: &str| {
        let field = format!("Authorization: Basic {name}\r\n");
        status(&nginx, &request("GET /", if name.is_empty() { b"" } else { field.as_bytes() }, b""))
    };
    let long = ["YWFh".repeat(367), "Og==".to_owned()].concat();
    // a, `a b`, a&b, a#b, a%20b, ä, and 1101 times a; each with the password p or none.
    for name in ["YTpw", "YSBiOnA=", "YSZiOnA=", "YSNiOnA=", "YSUyMGI6cA==", "w6Q6cA==", &long] {
        assert_eq!([ask(name), ask(name)], [200, 429], "{name}");
    }
    // Without a name, with `a\x01`, and with a line break and a field behind it: by address.
    assert_eq!([ask(""), ask("")], [200, 429]);
    for name in ["YQE6cA==", "YQ0KWC1SYXRlbGltaXQtS2V5OiBmcmVlOnA="] {
        assert_eq!(ask(name), 429, "{name}");
    }
}
