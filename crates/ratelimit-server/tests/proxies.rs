//! The service behind a real Envoy, Traefik and Caddy, with the configurations of docs/proxies.md,
//! and behind nginx with the lines that ingress-nginx writes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratelimit_harness::eventually;
use tempfile::TempDir;

use crate::nginx::{Nginx, ADDRESS};
use crate::service::{agent, free_port, get, read, repository, Answer, Service, Settings};
use crate::upstream::Upstream;

const PAGE: &str = "docs/proxies.md";

const POLICIES: &str = r#"
[[policy]]
name = "login"
route = "/login"
methods = ["POST"]
limit = 1
window = "1h"

[[policy]]
name = "free"
route = "/free/*"
limit = 1000000
window = "1h"
"#;

fn service(trusted: &str, limit: u32) -> Service {
    let settings = Settings::memory().file("p.toml", POLICIES).set("POLICIES", "p.toml");
    settings.set("RATE_LIMIT", limit).set("TRUSTED_PROXIES", trusted).start()
}

/// The block of code below the heading.
#[track_caller]
fn configuration(heading: &str) -> String {
    let page = repository(PAGE);
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).expect("a heading");
    let (_, rest) = rest.split_once("\n```").expect("a block");
    let (_, rest) = rest.split_once('\n').expect("lines");
    rest.split_once("```").expect("the end of the block").0.to_owned()
}

/// A proxy with a configuration of the page. Dropping the handle ends it.
struct Proxy {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Proxy {
    /// `arguments` get the path of the configuration and the port.
    #[track_caller]
    fn start(
        name: &str,
        config: &str,
        replaced: &[(&str, String)],
        arguments: fn(&Path, u16) -> Vec<String>,
    ) -> Self {
        let port = free_port();
        let mut config = config.replace("PORT", &port.to_string());
        for (from, to) in replaced {
            assert!(config.contains(from), "the configuration of {name} lacks {from}");
            config = config.replace(from, &to.replace("PORT", &port.to_string()));
        }
        let dir = tempfile::Builder::new().prefix("proxy-").tempdir().expect("a directory");
        let path = dir.path().join("configuration.yaml");
        std::fs::write(&path, config).expect("a file");
        let log = std::fs::File::create(dir.path().join("log")).expect("a file");
        let process = Command::new(program(name))
            .args(arguments(&path, port))
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut proxy = Self { process, port, dir };
        eventually("the proxy listens", || {
            let ended = proxy.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{name}: {}", read(&proxy.dir.path().join("log")));
            // Traefik listens before it has read its routes, and then answers 404.
            TcpStream::connect(("127.0.0.1", port)).is_ok()
                && proxy.get("/free/start", &[]).status == 200
        });
        proxy
    }

    #[track_caller]
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&agent(), &format!("http://127.0.0.1:{}{path}", self.port), headers)
    }

    fn status(&self, line: &str, fields: &str) -> u16 {
        status(self.port, line, fields)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            println!("the log of the proxy: {}", read(&self.dir.path().join("log")));
        }
    }
}

fn program(name: &str) -> PathBuf {
    let hint = "scripts/setup.sh proxies installs it, scripts/test.sh sets RATELIMIT_PROXIES";
    let dir = std::env::var_os("RATELIMIT_PROXIES").unwrap_or_else(|| panic!("no {name}: {hint}"));
    let path = Path::new(&dir).join(name);
    assert!(path.exists(), "{} is missing: {hint}", path.display());
    path
}

fn status(port: u16, line: &str, fields: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    let request = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line.split(' ').nth(1).expect("a status").parse().expect("a number")
}

/// Starts a proxy that asks the service on this port.
type Start = fn(u16, &Upstream) -> Proxy;

fn envoy(service: u16, upstream: &Upstream) -> Proxy {
    let address = |port: u16| format!("address: 127.0.0.1, port_value: {port}}}");
    let replaced = [
        ("address: 0.0.0.0, port_value: 80}", "address: 127.0.0.1, port_value: PORT}".to_owned()),
        ("address: ratelimit, port_value: 3000}", address(service)),
        ("address: api, port_value: 8080}", address(upstream.port)),
    ];
    Proxy::start("envoy", &configuration("Envoy"), &replaced, |path, _| {
        let path = path.to_str().expect("UTF-8").to_owned();
        ["-c", &path, "--use-dynamic-base-id", "--concurrency", "1"].map(str::to_owned).into()
    })
}

fn traefik(service: u16, upstream: &Upstream) -> Proxy {
    let replaced = [
        ("http://ratelimit:3000", format!("http://127.0.0.1:{service}")),
        ("http://api:8080", format!("http://127.0.0.1:{}", upstream.port)),
    ];
    Proxy::start("traefik", &configuration("Traefik"), &replaced, |path, port| {
        vec![
            format!("--entryPoints.web.address=127.0.0.1:{port}"),
            format!("--providers.file.filename={}", path.display()),
            "--global.checkNewVersion=false".to_owned(),
        ]
    })
}

fn caddy(service: u16, upstream: &Upstream) -> Proxy {
    let replaced = [
        ("http://:80 {", "{\n\tadmin off\n}\nhttp://:PORT {\n\tbind 127.0.0.1".to_owned()),
        ("ratelimit:3000", format!("127.0.0.1:{service}")),
        ("api:8080", format!("127.0.0.1:{}", upstream.port)),
    ];
    Proxy::start("caddy", &configuration("Caddy"), &replaced, |path, _| {
        let path = path.to_str().expect("UTF-8").to_owned();
        ["run", "--adapter", "caddyfile", "--config", &path].map(str::to_owned).into()
    })
}

/// The lines that ingress-nginx writes for the annotation of the page: `$authPath` in
/// rootfs/etc/nginx/template/nginx.tmpl of kubernetes/ingress-nginx, with its default settings.
fn ingress(service: u16, upstream: &Upstream) -> Nginx {
    let config = r#"
        server {
            listen 80;
            location / {
                auth_request /_external-auth;
                auth_request_set $auth_cookie $upstream_http_set_cookie;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_pass http://API;
            }
            location = /_external-auth {
                internal;
                proxy_pass_request_body off;
                proxy_set_header Content-Length "";
                proxy_set_header X-Forwarded-Proto "";
                proxy_set_header Host $proxy_host;
                proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
                proxy_set_header X-Original-Method $request_method;
                proxy_set_header X-Sent-From "nginx-ingress-controller";
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Auth-Request-Redirect $request_uri;
                proxy_buffering off;
                proxy_request_buffering on;
                proxy_pass_request_headers on;
                client_max_body_size 1m;
                proxy_pass URL;
            }
        }
    "#;
    let url = configuration("ingress-nginx");
    let url = url.split_once("auth-url: ").expect("the annotation").1.trim();
    let service = format!("http://127.0.0.1:{service}");
    let url = url.replace("http://ratelimit.default.svc.cluster.local:3000", &service);
    let api = format!("127.0.0.1:{}", upstream.port);
    Nginx::with(config, &[("URL;", format!("{url};")), ("API", api)])
}

/// What a visitor tries to be judged by: another proxy's headers, or another form's path.
const SPOOFED: &[(&str, &str)] = &[
    ("X-Original-URI", "/free/"),
    ("X-Original-URL", "http://h/free/"),
    ("X-Original-Method", "GET"),
    ("X-Forwarded-Uri", "/free/"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Ratelimit-Key", "free"),
];

/// The limit of `/login` is used up; the other limit is 0. Each line must be denied and must not
/// reach the API.
#[track_caller]
fn denies_every_detour(port: u16, upstream: &Upstream, denied: u16) {
    let spoofed: String =
        SPOOFED.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = [
        "POST /login",
        "POST /login?policy=free",
        "POST /%6cogin",
        "POST //login",
        "POST /free/../login",
        "POST /../login",
        "POST http://free/login",
        "GET /",
        "GET /x?/free/",
        "GET /?policy=free&key=any",
        "GET /?policy=free",
        "GET /?x=1&y",
        "GET /../ingress",
        "GET /../../auth/forwarded",
        "GET /%2e%2e/ingress?policy=free",
        "GET //",
        "BREW /",
        "HEAD /",
    ];
    let reached = upstream.requests();
    for line in lines {
        for fields in ["", &spoofed] {
            let status = status(port, line, fields);
            // A proxy may refuse a strange line itself.
            assert!([denied, 400].contains(&status), "{line}, {fields}: {status}");
        }
    }
    let status = status(port, "GET /", &spoofed);
    assert_eq!(status, denied);
    assert_eq!(upstream.requests(), reached, "a denied request reached the API");
}

/// Four requests with limit 3, and then the limit of a route.
#[track_caller]
fn answers_429_with_the_fields(start: Start) {
    let upstream = Upstream::start();
    let generous = service("127.0.0.1", 3);
    let proxy = start(generous.port(), &upstream);
    for _ in 0..3 {
        let answer = proxy.get("/a?b=c", &[]);
        assert_eq!((answer.status, &*answer.body), (200, "hello"));
    }
    assert!(upstream.last().starts_with("GET /a?b=c "), "{}", upstream.last());
    let answer = proxy.get("/a?b=c", &[]);
    let message = r#"{"message":"Too many requests. Please try again later."}"#;
    assert_eq!((answer.status, &*answer.body), (429, message));
    assert_eq!(answer.field("content-type"), "application/json");
    assert_eq!(answer.field("ratelimit-policy"), r#""default";q=3;w=60"#);
    assert!((1..=60).contains(&answer.field("retry-after").parse().expect("whole seconds")));

    let strict = service("127.0.0.1", 0);
    let proxy = start(strict.port(), &upstream);
    assert_eq!(proxy.status("POST /login", "Content-Length: 2\r\n\r\nab"), 200);
    denies_every_detour(proxy.port, &upstream, 429);
}

#[test]
fn envoy_allows_the_limit_and_then_answers_429() {
    answers_429_with_the_fields(envoy);
}

#[test]
fn traefik_allows_the_limit_and_then_answers_429() {
    answers_429_with_the_fields(traefik);
}

#[test]
fn caddy_allows_the_limit_and_then_answers_429() {
    answers_429_with_the_fields(caddy);
}

#[test]
fn ingress_nginx_allows_the_limit_and_then_answers_403() {
    let upstream = Upstream::start();
    let generous = service(ADDRESS, 3);
    let nginx = ingress(generous.port(), &upstream);
    assert_eq!(nginx.statuses(4), [200, 200, 200, 403]);
    let strict = service(ADDRESS, 0);
    let nginx = ingress(strict.port(), &upstream);
    assert_eq!(nginx.get("/free/", &[]).status, 200);
    assert_eq!(status(nginx.port, "POST /login", ""), 200);
    denies_every_detour(nginx.port, &upstream, 403);
    let reached = upstream.requests();
    for host in ["a?b", "a#b", "free", "free?/"] {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", nginx.port)).unwrap());
        let request = format!("POST /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).expect("it reads");
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer");
        assert!(line.contains(" 403 ") || line.contains(" 400 "), "{host}: {line}");
    }
    assert_eq!(upstream.requests(), reached, "a host chose the path");
}

#[test]
fn envoy_shows_the_fields_of_an_allowed_answer() {
    let (upstream, service) = (Upstream::start(), service("127.0.0.1", 3));
    let answer = envoy(service.port(), &upstream).get("/", &[]);
    assert_eq!(answer.field("ratelimit-policy"), r#""default";q=3;w=60"#);
    assert!(answer.field("ratelimit").starts_with("\"default\";r=2;t="));
}

#[test]
fn without_the_service_each_proxy_denies() {
    let upstream = Upstream::start();
    let cases: [(Start, u16); 3] = [(envoy, 403), (traefik, 500), (caddy, 502)];
    for (start, expected) in cases {
        let service = service("127.0.0.1", 3);
        let proxy = start(service.port(), &upstream);
        drop(service);
        let reached = upstream.requests();
        assert_eq!(proxy.get("/", &[]).status, expected);
        assert_eq!(upstream.requests(), reached);
    }
}

#[test]
fn each_visitor_behind_a_proxy_has_a_limit_of_its_own() {
    let upstream = Upstream::start();
    for start in [envoy, traefik, caddy] as [Start; 3] {
        let policies = "[[policy]]\nname = \"key\"\nby = \"api-key\"\nlimit = 1\nwindow = 60\n\
            [[policy]]\nname = \"free\"\nroute = \"/free/*\"\nlimit = 1000000\nwindow = 60\n";
        let settings = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml");
        let service = settings.set("RATE_LIMIT", 99).set("TRUSTED_PROXIES", "127.0.0.1").start();
        let proxy = start(service.port(), &upstream);
        let ask = |key: &str| proxy.get("/", &[("X-API-Key", key)]).status;
        assert_eq!([ask("a"), ask("a"), ask("b")], [200, 429, 200]);
    }
}
