//! Behind a real nginx, with the files that the documents show.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use ratelimit_harness::eventually;
use tempfile::TempDir;

use crate::service::{agent, free_port, get, read, repository, server, Answer, Service, Settings};

/// Nginx's own, so that it is another than its clients'.
const ADDRESS: &str = "127.0.0.5";

/// Ends with its handle.
struct Nginx {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Nginx {
    /// The file from `docker/nginx/`, with other addresses.
    #[track_caller]
    fn start(file: &str, addresses: &[(&str, String)]) -> Self {
        let mut config = repository(&format!("docker/nginx/{file}"));
        for (from, to) in addresses {
            assert!(config.contains(from), "{file} lacks {from}");
            config = config.replace(from, to);
        }
        let port = free_port();
        assert!(config.contains("listen 80;"), "{file} lacks listen 80;");
        let config = config.replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        let dir = tempfile::Builder::new().prefix("nginx-").tempdir().expect("a directory");
        let main = main_config(dir.path().to_str().expect("UTF-8"), &config);
        std::fs::write(dir.path().join("nginx.conf"), main).expect("a file");
        let process = program()
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let mut nginx = Self { process, port, dir };
        eventually("nginx listens", || {
            let ended = nginx.process.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none(),
                "nginx did not start: {}",
                read(&nginx.dir.path().join("log"))
            );
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    #[track_caller]
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&agent(), &format!("http://127.0.0.1:{}{path}", self.port), headers)
    }

    #[track_caller]
    fn knock(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| self.get("/", &[]).status).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A killed master would leave its worker behind.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

fn program() -> Command {
    let found =
        ["/usr/sbin/nginx", "/usr/bin/nginx", "/opt/homebrew/bin/nginx", "/usr/local/bin/nginx"];
    let found = found.iter().find(|path| std::path::Path::new(path).exists());
    Command::new(found.expect("nginx is missing: scripts/setup.sh nginx installs it"))
}

fn main_config(dir: &str, http: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path {dir}/{kind};")).join("\n");
    format!(
        "daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/log;\n\
        events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\nproxy_bind {ADDRESS};\n{temporary}\n{http}\n}}\n"
    )
}

/// A plain API that knows nothing of limits: counts, and answers 200 `hello`, or 403 to `/secret`.
struct Upstream {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut chunk) {
                        Ok(0) | Err(_) => break,
                        Ok(length) => request.extend_from_slice(&chunk[..length]),
                    }
                }
                counter.fetch_add(1, Relaxed);
                let status =
                    if request.starts_with(b"GET /secret") { "403 Forbidden" } else { "200 OK" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, requests }
    }
}

fn guarded(service: &Service, upstream: &Upstream) -> Vec<(&'static str, String)> {
    vec![
        ("server ratelimit:3000", format!("server 127.0.0.1:{}", service.port())),
        ("server api:8080", format!("server 127.0.0.1:{}", upstream.port)),
    ]
}

#[test]
fn auth_request_lets_exactly_the_limit_through_and_answers_429_after_it() {
    let (server, upstream) = (server(), Upstream::start());
    let service = Settings::on(&server).set("TRUSTED_PROXIES", ADDRESS).start();
    let nginx = Nginx::start("auth_request.conf", &guarded(&service, &upstream));
    for remaining in (0..5).rev() {
        let answer = nginx.get("/", &[]);
        assert_eq!((answer.status, &*answer.body), (200, "hello"));
        assert_eq!(answer.field("ratelimit-policy"), r#""default";q=5;w=60"#);
        assert!(answer.field("ratelimit").starts_with(&format!("\"default\";r={remaining};t=")));
        assert_eq!(answer.field("retry-after"), "");
    }
    for _ in 0..3 {
        let answer = nginx.get("/", &[]);
        let message = r#"{"message":"Too many requests. Please try again later."}"#;
        assert_eq!((answer.status, &*answer.body), (429, message));
        assert_eq!(answer.field("content-type"), "application/json");
        assert!((1..=60).contains(&answer.field("retry-after").parse().expect("whole seconds")));
        assert!(answer.field("ratelimit").starts_with("\"default\";r=0;t="));
    }
    assert_eq!(upstream.requests.load(Relaxed), 5);
    let other = nginx.get("/", &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(other.status, 429, "a client cannot choose its address");
    assert_eq!(nginx.get("/_ratelimit", &[]).status, 404, "from outside it is not there");
}

#[test]
fn auth_request_guards_by_route_and_leaves_the_answers_of_the_api_alone() {
    let upstream = Upstream::start();
    let policies = "[[policy]]\nname = \"secret\"\nroute = \"/secret\"\nlimit = 1\nwindow = 60\n";
    let service = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml").start();
    let nginx = Nginx::start("auth_request.conf", &guarded(&service, &upstream));
    let first = nginx.get("/secret", &[]);
    assert_eq!((first.status, &*first.body), (403, "hello"), "the API's own denial");
    assert_eq!(nginx.get("/secret", &[]).status, 429);
    assert_eq!(nginx.knock(6), [200, 200, 200, 200, 200, 429]);
}

#[test]
fn without_a_rate_limiter_auth_request_is_500_or_lets_pass_as_chosen() {
    let upstream = Upstream::start();
    let gone = vec![
        ("server ratelimit:3000", format!("server 127.0.0.1:{}", free_port())),
        ("server api:8080", format!("server 127.0.0.1:{}", upstream.port)),
    ];
    let strict = Nginx::start("auth_request.conf", &gone);
    assert_eq!(strict.knock(2), [500, 500]);
    let mut lenient = gone;
    lenient.push(("# error_page 500 = @unlimited;", "error_page 500 = @unlimited;".to_owned()));
    let lenient = Nginx::start("auth_request.conf", &lenient);
    assert_eq!(lenient.knock(2), [200, 200]);
}

#[test]
fn balanced_over_two_instances_the_limit_is_one_and_each_client_has_its_own() {
    let server = server();
    let instance = |name| {
        let settings = Settings::on(&server).set("INSTANCE", name).set("REMEMBER_DENIALS", 0);
        settings.set("RATE_LIMIT", 6).set("TRUSTED_PROXIES", ADDRESS).start()
    };
    let (a, b) = (instance("a"), instance("b"));
    let nginx = Nginx::start(
        "balance.conf",
        &[
            ("server ratelimit-a:3000", format!("server 127.0.0.1:{}", a.port())),
            ("server ratelimit-b:3000", format!("server 127.0.0.1:{}", b.port())),
        ],
    );
    let statuses = nginx.knock(12);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 6, "{statuses:?}");
    assert!(statuses[6..].iter().all(|status| *status == 429), "{statuses:?}");
    for instance in [&a, &b] {
        let allowed = r#"ratelimit_decisions_total{policy="default",outcome="allowed"}"#;
        assert_eq!(instance.metric(allowed), 3.0, "nginx asks them in turn");
    }
    for path in ["/metrics", "/v1/auth"] {
        assert_eq!(nginx.get(path, &[]).status, 404, "{path} is not for everybody");
    }
}
