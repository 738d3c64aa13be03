//! The service behind a real nginx, with the files that the documents link.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use ratelimit_harness::{eventually, Server};
use tempfile::TempDir;

use crate::service::{agent, free_port, get, read, repository, server, Answer, Service, Settings};
use crate::upstream::Upstream;

/// The address of nginx itself, which differs from those of its clients.
pub const ADDRESS: &str = "127.0.0.5";
pub const AUTH_REQUEST: &str = "docker/nginx-auth-request.conf";
const BALANCE: &str = "docker/nginx.conf";

/// Dropping the handle ends it.
pub struct Nginx {
    process: Child,
    pub port: u16,
    dir: TempDir,
}

impl Nginx {
    /// Starts it with the file as it ships, except for the addresses.
    #[track_caller]
    pub fn start(file: &str, addresses: &[(&str, String)]) -> Self {
        Self::with(&repository(file), addresses)
    }

    /// Starts it with a text for `http { }`, in which some lines are replaced.
    #[track_caller]
    pub fn with(config: &str, lines: &[(&str, String)]) -> Self {
        let mut config = config.to_owned();
        for (from, to) in lines {
            assert!(config.contains(from), "the file lacks {from}");
            config = config.replace(from, to);
        }
        let port = free_port();
        assert!(config.contains("listen 80;"), "the file lacks listen 80;");
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
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&agent(), &format!("http://127.0.0.1:{}{path}", self.port), headers)
    }

    #[track_caller]
    fn post(&self, path: &str) -> u16 {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = agent().post(url).content_type("application/json");
        request.send(r#"{"key":"k","limit":5,"window":60}"#).expect("an answer").status().as_u16()
    }

    /// The status for a client with this address.
    #[track_caller]
    fn status_for(&self, address: &str) -> u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let connection = runtime.expect("a runtime").block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(format!("{address}:0").parse().expect("an address"))?;
            socket.connect(([127, 0, 0, 1], self.port).into()).await?.into_std()
        });
        let mut connection = connection.expect("nginx accepts");
        connection.set_nonblocking(false).expect("a mode");
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).expect("a status").parse().expect("a number")
    }

    #[track_caller]
    pub fn statuses(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| self.get("/", &[]).status).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killing the master would leave its worker running.
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

pub fn guarded(service: &Service, upstream: &Upstream) -> Vec<(&'static str, String)> {
    vec![
        ("server ratelimit:3000", format!("server 127.0.0.1:{}", service.port())),
        ("server api:8080", format!("server 127.0.0.1:{}", upstream.port)),
    ]
}

#[test]
fn auth_request_allows_the_limit_and_then_answers_429() {
    let (server, upstream) = (server(), Upstream::start());
    let service = Settings::on(&server).set("TRUSTED_PROXIES", ADDRESS).start();
    let nginx = Nginx::start(AUTH_REQUEST, &guarded(&service, &upstream));
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
    assert_eq!(upstream.requests(), 5);
    let other = nginx.get("/", &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(other.status, 429, "a client cannot choose its address");
    assert_eq!(nginx.get("/_ratelimit", &[]).status, 403, "from outside it is closed");
}

#[test]
fn auth_request_limits_by_route_and_keeps_other_answers() {
    let upstream = Upstream::start();
    let policies = "[[policy]]\nname = \"secret\"\nroute = \"/secret\"\nlimit = 1\nwindow = 60\n";
    let service = Settings::memory().file("p.toml", policies).set("POLICIES", "p.toml").start();
    let nginx = Nginx::start(AUTH_REQUEST, &guarded(&service, &upstream));
    let first = nginx.get("/secret", &[]);
    assert_eq!((first.status, &*first.body), (403, "hello"), "the API's own denial");
    assert_eq!(nginx.get("/secret", &[]).status, 429);
    assert_eq!(nginx.statuses(6), [200, 200, 200, 200, 200, 429]);
}

/// Three instances of the service that share a limit, behind the file that balances.
fn balanced(server: &Server, limit: u32) -> (Nginx, [Service; 3]) {
    let instances = ["a", "b", "c"].map(|name| {
        let settings = Settings::on(server).set("INSTANCE", name).set("REMEMBER_DENIALS", 0);
        settings.set("RATE_LIMIT", limit).set("TRUSTED_PROXIES", ADDRESS).start()
    });
    (balance(instances.each_ref().map(Service::port)), instances)
}

fn balance(ports: [u16; 3]) -> Nginx {
    let names = ["server ratelimit-1:3000", "server ratelimit-2:3000", "server ratelimit-3:3000"];
    let addresses = ports.map(|port| format!("server 127.0.0.1:{port}"));
    let pairs: Vec<_> = names.into_iter().zip(addresses).collect();
    Nginx::start(BALANCE, &pairs)
}

#[test]
fn three_balanced_instances_share_the_limit_of_each_client() {
    let server = server();
    let (nginx, instances) = balanced(&server, 6);
    let statuses = nginx.statuses(12);
    assert_eq!(statuses, [[200; 6], [429; 6]].concat());
    for instance in &instances {
        let allowed = r#"ratelimit_decisions_total{policy="default",outcome="allowed"}"#;
        assert_eq!(instance.metric(allowed), 2.0, "nginx asks them in turn");
    }
    let denied = nginx.get("/", &[]);
    assert!((1..=60).contains(&denied.field("retry-after").parse().expect("whole seconds")));
    let others = ["203.0.113.9", "127.0.0.9, 127.0.0.1", ADDRESS, "127.0.0.9, 127.0.0.5", "?", ""];
    for address in others {
        let answer = nginx.get("/", &[("X-Forwarded-For", address)]);
        assert_eq!(answer.status, 429, "a client cannot choose its address: {address}");
    }
    assert_eq!(nginx.status_for("127.0.0.1"), 429);
    assert_eq!(nginx.status_for("127.0.0.2"), 200);
    for path in ["/metrics", "/v1/auth", "//v1/auth", "/%761/auth"] {
        assert_eq!(nginx.get(path, &[]).status, 404, "{path} is not for everybody");
    }
    for path in ["/v1/check", "/v1/check/batch", "/x/../v1/peek"] {
        assert_eq!(nginx.post(path), 404, "{path} would use up anybody's limit");
    }
}

#[test]
fn the_limit_stays_exact_when_an_instance_is_killed() {
    let server = server();
    let (nginx, [a, b, c]) = balanced(&server, 20);
    let mut statuses = nginx.statuses(7);
    drop(a);
    statuses.extend(nginx.statuses(7));
    drop(b);
    statuses.extend(nginx.statuses(16));
    assert_eq!(statuses, [[200; 20].as_slice(), &[429; 10]].concat());
    drop(c);
    assert_eq!(nginx.statuses(1), [502], "nobody is left");
}

#[test]
fn a_post_that_was_received_is_not_sent_again() {
    let instances = [Upstream::dying(), Upstream::dying(), Upstream::dying()];
    let nginx = balance(instances.each_ref().map(|instance| instance.port));
    let received = || instances.iter().map(|one| one.requests()).sum::<usize>();
    assert_eq!((nginx.post("/any"), received()), (502, 1), "it may have been counted");
    assert_eq!(nginx.statuses(1), [502]);
    assert!(received() >= 3, "a GET goes to those that are left");
}
