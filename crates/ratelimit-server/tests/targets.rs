//! The targets of REDIS_URL: a server by TLS, a cluster, a master that sentinels watch.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ratelimit_harness::{
    catch_up, eventually, follow, not_applicable, servers, Cluster, Connection, Forwarder, Reply,
    Server, Setup,
};
use tempfile::TempDir;

use crate::service::{free_port, Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":1000000,"window":3600}"#;

#[track_caller]
pub fn decides_by_the_module(service: &Service) {
    eventually("the server decides", || service.check(CHECK)["source"] == "module");
}

#[test]
fn connects_by_tls_if_the_certificate_is_trusted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
    make_certificate(&key, &certificate);
    let port = free_port();
    let binary = &servers()[0];
    let setup = Setup::module(binary)
        .with(&format!("tls-port {port}"))
        .with(&format!("tls-key-file {}", key.display()))
        .with(&format!("tls-cert-file {}", certificate.display()))
        .with(&format!("tls-ca-cert-file {}", certificate.display()))
        .with("tls-auth-clients no");
    let server = match setup.try_start() {
        Ok(server) => server,
        Err(log) if log.contains("Failed finding TLS support") => {
            return not_applicable(binary, "rediss://", "it is built without TLS");
        }
        Err(log) => panic!("the server did not start:\n{log}"),
    };
    let url = format!("rediss://localhost:{port}");
    let trusting = Settings::at(&url).set("SSL_CERT_FILE", certificate.display()).start();
    decides_by_the_module(&trusting);
    assert_eq!(server.connect().must("EXISTS ratelimit:k:fixed").integer(), 1);

    let strict = Settings::at(&url).set("START_DEADLINE", 0).start();
    assert_eq!(strict.check(CHECK)["source"], "local", "nobody vouches for the server");
    assert_eq!(strict.get("/readyz").status, 503);
}

#[test]
fn trusts_an_authority_of_its_own_and_shows_a_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
    make_certificate(&key, &certificate);
    let (other_key, other) = (dir.path().join("other-key.pem"), dir.path().join("other.pem"));
    make_certificate(&other_key, &other);
    let port = free_port();
    let binary = &servers()[0];
    let setup = Setup::module(binary)
        .with(&format!("tls-port {port}"))
        .with(&format!("tls-key-file {}", key.display()))
        .with(&format!("tls-cert-file {}", certificate.display()))
        .with(&format!("tls-ca-cert-file {}", certificate.display()))
        .with("tls-auth-clients yes");
    let _server = match setup.try_start() {
        Ok(server) => server,
        Err(log) if log.contains("Failed finding TLS support") => {
            return not_applicable(binary, "rediss://", "it is built without TLS");
        }
        Err(log) => panic!("the server did not start:\n{log}"),
    };
    let trusting = |url: &str| Settings::at(url).set("REDIS_CA_FILE", certificate.display());
    let shown = |url: &str| {
        let settings = trusting(url).set("REDIS_CERT_FILE", certificate.display());
        settings.set("REDIS_KEY_FILE", key.display())
    };
    let url = format!("rediss://localhost:{port}");
    decides_by_the_module(&shown(&url).start());
    let unknown = trusting(&url).set("START_DEADLINE", 0).start();
    assert_eq!(unknown.check(CHECK)["source"], "local", "the server wants a certificate");
    let strict = shown(&url).set("REDIS_CA_FILE", other.display()).set("START_DEADLINE", 0).start();
    assert_eq!(strict.check(CHECK)["source"], "local", "another authority");

    let at = |url: &str, variable: &str, file: &Path| {
        let (code, message) = shown(url).set(variable, file.display()).refusal();
        assert_eq!(code, 2, "{message}");
        message
    };
    let message = at(&url, "REDIS_KEY_FILE", &other_key);
    assert!(message.contains("is not the key of REDIS_CERT_FILE"), "{message}");
    let message = at(&url, "REDIS_CA_FILE", &key);
    assert!(message.contains("must hold what its name says, as PEM"), "{message}");
    let message = at(&format!("redis://localhost:{port}"), "REDIS_CA_FILE", &certificate);
    assert!(message.contains("need a REDIS_URL with TLS"), "{message}");
}

#[test]
fn sentinels_can_have_a_password_of_their_own() {
    let server = Setup::module(&servers()[0]).start();
    let sentinel = Sentinel::watch(&server);
    sentinel.connect().must("ACL SETUSER default resetpass >sentinel-hush");
    let url = format!("redis-sentinel://127.0.0.1:{}/mymaster", sentinel.port);
    let service = Settings::at(&url).set("REDIS_SENTINEL_PASSWORD", "sentinel-hush").start();
    decides_by_the_module(&service);
    let file = Settings::at(&url).file("password", "sentinel-hush\n");
    decides_by_the_module(&file.set("REDIS_SENTINEL_PASSWORD_FILE", "password").start());
}

/// A self-signed certificate for localhost.
fn make_certificate(key: &Path, certificate: &Path) {
    let made = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(' '))
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl is missing: install the package openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_cluster_decides_at_the_node_of_each_key() {
    let cluster = Cluster::start(&Setup::module(&servers()[0]));
    let port = cluster.nodes[1].port();
    let service = Settings::at(&format!("redis-cluster://127.0.0.1:{port}")).start();
    decides_by_the_module(&service);
    for i in 0..50 {
        let check = format!(r#"{{"key":"k{i}","limit":1,"window":3600}}"#);
        assert_eq!(service.check(&check)["allowed"], true, "{i}");
        assert_eq!(service.check(&check)["allowed"], false, "{i}");
    }
    // Without the keys of the probe.
    let keys = |node: &Server| node.connect().must("KEYS ratelimit:k*").array().len();
    assert!(cluster.nodes.iter().all(|node| keys(node) > 5), "each node has its part");
    assert_eq!(cluster.nodes.iter().map(keys).sum::<usize>(), 51);
}

/// A Sentinel that watches one master. Dropping the handle ends it.
struct Sentinel {
    process: Child,
    port: u16,
    _dir: TempDir,
}

impl Sentinel {
    fn watch(master: &Server) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, port) = (dir.path().join("sentinel.conf"), free_port());
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
            sentinel down-after-milliseconds mymaster 1000\n",
            dir.path().display(),
            master.port()
        );
        fs::write(&file, config).expect("a file");
        let mut command = Command::new(&master.binary().path);
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().expect("a sentinel starts");
        let sentinel = Self { process, port, _dir: dir };
        eventually("the sentinel answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sentinel
    }

    fn connect(&self) -> Connection {
        Connection::open(self.port).expect("it answers")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server that changes its role closes its connections, with or without an answer.
fn is_master(server: &Server) -> bool {
    let reply =
        Connection::open(server.port()).and_then(|mut c| c.try_call(&["INFO", "replication"]));
    reply.is_ok_and(|reply| {
        matches!(&reply, Reply::Bytes(_)) && reply.text().contains("role:master")
    })
}

#[test]
fn follows_the_master_that_a_sentinel_names() {
    let master = Setup::module(&servers()[0]).start();
    let replica = Setup::module(&servers()[0]).start();
    follow(&mut replica.connect(), &master);
    let sentinel = Sentinel::watch(&master);
    eventually("the sentinel knows the replica", || {
        let replicas = sentinel.connect().must("SENTINEL REPLICAS mymaster");
        !replicas.array().is_empty()
    });
    let url = format!("redis-sentinel://127.0.0.1:{}/mymaster", sentinel.port);
    let service = Settings::at(&url).set("REDIS_DEADLINE", "1s").start();
    decides_by_the_module(&service);
    let before = service.check(CHECK)["remaining"].as_i64().expect("a number");
    catch_up(&mut replica.connect(), &master);

    eventually("the sentinel agrees to fail over", || {
        !matches!(sentinel.connect().reply_to("SENTINEL FAILOVER mymaster"), Reply::Error(_))
    });
    eventually("the replica is the master", || is_master(&replica));
    let count =
        || replica.connect().must("GET ratelimit:k:fixed").text().parse::<i64>().unwrap_or(0);
    let at_failover = count();
    eventually("the new master decides", || {
        service.check(CHECK);
        count() > at_failover
    });
    let after = service.check(CHECK);
    assert_eq!(after["source"], "module");
    assert!(after["remaining"].as_i64().expect("a number") < before, "no count was lost");
}

#[test]
fn leaves_a_hanging_master_for_the_next_one() {
    let master = Setup::module(&servers()[0]).start();
    let replica = Setup::module(&servers()[0]).start();
    follow(&mut replica.connect(), &master);
    let sentinel = Setup::sentinel(&master, 1).start();
    eventually("the sentinel knows the replica", || {
        let replicas = sentinel.connect().must("SENTINEL REPLICAS mymaster");
        !replicas.array().is_empty()
    });
    let url = format!("redis-sentinel://127.0.0.1:{}/mymaster", sentinel.port());
    let service = Settings::at(&url).set("REDIS_DEADLINE", "1s").start();
    decides_by_the_module(&service);

    master.pause();
    eventually("the replica is the master", || is_master(&replica));
    decides_by_the_module(&service);
}

/// Waits until the module of a server decides the service's checks. Fails after eight seconds.
#[track_caller]
fn decides_within_seconds(service: &Service, server: &Server) {
    let count = || format!("{:?}", server.connect().must("GET ratelimit:k:fixed"));
    let (start, before) = (Instant::now(), count());
    while service.check(CHECK)["source"] != "module" || count() == before {
        assert!(start.elapsed() < Duration::from_secs(8), "nothing after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn follows_roles_that_change_behind_one_name() {
    let (first, second) =
        (Setup::module(&servers()[0]).start(), Setup::module(&servers()[0]).start());
    follow(&mut second.connect(), &first);
    let forwarder = Forwarder::to(&first);
    let service = Settings::at(&format!("redis://127.0.0.1:{}", forwarder.port())).start();
    decides_within_seconds(&service, &first);
    for (old, new) in [(&first, &second), (&second, &first)] {
        catch_up(&mut new.connect(), old);
        new.connect().must("REPLICAOF NO ONE");
        forwarder.turn(new.port());
        follow(&mut old.connect(), new);
        decides_within_seconds(&service, new);
        assert_eq!(service.get("/readyz").status, 200);
    }
}

#[test]
fn leaves_a_mute_connection_for_the_server_that_the_name_leads_to() {
    let (old, new) = (Setup::module(&servers()[0]).start(), Setup::module(&servers()[0]).start());
    let forwarder = Forwarder::to(&old);
    let service = Settings::at(&format!("redis://127.0.0.1:{}", forwarder.port())).start();
    decides_within_seconds(&service, &old);
    old.pause();
    forwarder.turn(new.port());
    decides_within_seconds(&service, &new);
    forwarder.mute();
    decides_within_seconds(&service, &new);
    old.resume();
}

#[test]
fn loses_no_request_to_the_idle_time_of_redis() {
    let server = Setup::module(&servers()[0]).with("timeout 1").start();
    let service = Settings::on(&server).set("REDIS_DEADLINE", "2s").start();
    for _ in 0..4 {
        assert_eq!(service.check(CHECK)["source"], "module");
        std::thread::sleep(Duration::from_millis(2_500));
    }
    assert_eq!(server.connect().must("GET ratelimit:k:fixed").text(), "4");
    assert_eq!(service.metric("ratelimit_backend_up"), 1.0);
}

#[test]
fn in_a_cluster_the_real_checks_speak_for_the_other_nodes() {
    let cluster = Cluster::start(&Setup::module(&servers()[0]));
    let url = format!("redis-cluster://127.0.0.1:{}", cluster.nodes[0].port());
    let settings = Settings::at(&url).set("REDIS_DEADLINE", "100ms");
    let service = settings.set("ON_REDIS_FAILURE", "closed").start();
    eventually("it is ready", || service.get("/readyz").status == 200);
    cluster.nodes[2].pause();
    let mut keys = 0..;
    eventually("it says how many checks failed", || {
        let i: u64 = keys.next().expect("without end");
        service.post("/v1/check", &format!(r#"{{"key":"k{i}","limit":9,"window":3600}}"#));
        let why = service.get("/readyz").json()["why"].to_string();
        why.contains("checks failed in the last second")
    });
    cluster.nodes[2].resume();
    eventually("it is ready again", || service.get("/readyz").status == 200);
}
