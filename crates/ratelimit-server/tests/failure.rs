//! The service without Redis, and when Redis is back.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;

use ratelimit_harness::{eventually, servers, Setup};
use serde_json::json;

use crate::service::{Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":100,"window":60}"#;

#[track_caller]
fn readiness(service: &Service, status: u16) {
    eventually(&format!("readyz says {status}"), || service.get("/readyz").status == status);
}

#[test]
fn without_a_server_at_the_start_each_mode_decides_unready() {
    let local = Settings::nowhere().set("RATE_LIMIT", 9).set("INSTANCES", 3).start();
    assert_eq!(local.statuses(5), [200, 200, 200, 429, 429], "its share of nine for three");
    let decided = local.check(CHECK);
    assert_eq!(decided["source"], "local");
    assert!(["connection", "circuit_open"].contains(&decided["failure"].as_str().expect("a name")));

    let open = Settings::nowhere().set("RATE_LIMIT", 1).set("ON_REDIS_FAILURE", "open").start();
    assert_eq!(open.statuses(5), [200; 5]);
    let answer = open.get("/");
    assert_eq!(
        (answer.field("ratelimit"), answer.field("ratelimit-policy")),
        ("", r#""default";q=1;w=60"#)
    );

    let closed = Settings::nowhere().set("ON_REDIS_FAILURE", "closed").start();
    let answer = closed.get("/");
    assert_eq!((answer.status, answer.field("retry-after")), (503, "1"));
    let message = "The rate limit cannot be checked now. Please try again later.";
    assert_eq!(answer.json(), json!({ "message": message }));
    assert_eq!(closed.post("/v1/check", CHECK).status, 503);
    assert_eq!(closed.get_with("/v1/auth", &[("X-Original-URI", "/")]).status, 503);

    for service in [&local, &open, &closed] {
        let answer = service.get("/readyz");
        assert_eq!((answer.status, &answer.json()["ready"]), (503, &json!(false)));
        assert_eq!(service.get("/healthz").status, 200);
        eventually("the log says so", || service.log("the backend does not decide").len() == 1);
        assert_eq!(service.metric("ratelimit_backend_up"), 0.0);
    }
}

#[test]
fn the_share_decides_until_a_killed_server_is_back() {
    // By socket, because after a restart the server listens on another port.
    let mut server = Setup::module(&servers()[0]).with("unixsocket ./socket").start();
    let url = format!("redis+unix://{}", server.dir().join("socket").display());
    let settings = Settings::at(&url).set("REDIS_DEADLINE", "2s").set("RATE_LIMIT", 1000);
    let service = settings.start();
    readiness(&service, 200);
    assert_eq!(service.check(CHECK)["source"], "module");

    server.kill();
    assert_eq!(service.check(CHECK)["source"], "local");
    assert_eq!(service.statuses(5), [200; 5], "no request is lost");
    eventually("the loss is seen", || service.metric("ratelimit_backend_up") == 0.0);
    assert_eq!(service.get("/readyz").status, 200, "it has decided before, and goes on");
    assert!(service.metric(r#"ratelimit_fallbacks_total{mode="local"}"#) >= 6.0);
    assert!(service.metric(r#"ratelimit_failures_total{kind="connection"}"#) >= 1.0);

    let server = server.restart();
    eventually("the server decides again", || service.check(CHECK)["source"] == "module");
    readiness(&service, 200);
    eventually("the log says so", || service.log("the backend decides").len() == 2);
    assert_eq!(service.log("the backend does not decide").len(), 1);
    drop(server);
}

#[test]
fn a_hanging_server_costs_a_request_only_the_deadline() {
    let server = Setup::module(&servers()[0]).start();
    let service = Settings::on(&server).set("REDIS_DEADLINE", "300ms").start();
    eventually("the server decides", || service.check(CHECK)["source"] == "module");
    let pid = server.pid().to_string();
    let send = |signal: &str| Command::new("kill").args([signal, &*pid]).status();
    send("-STOP").expect("kill runs");
    let decided = service.check(CHECK);
    assert_eq!((&decided["source"], &decided["failure"]), (&json!("local"), &json!("deadline")));
    eventually("it is left alone", || service.check(CHECK)["failure"] == "circuit_open");
    send("-CONT").expect("kill runs");
    eventually("the server decides again", || service.check(CHECK)["source"] == "module");
}

#[test]
fn with_closed_a_lost_server_makes_the_instance_unready() {
    let mut server = Setup::module(&servers()[0]).start();
    let service = Settings::on(&server).set("ON_REDIS_FAILURE", "closed").start();
    readiness(&service, 200);
    server.kill();
    readiness(&service, 503);
    assert_eq!(service.get("/").status, 503);
    let why = service.get("/readyz").json();
    assert_eq!(why["meanwhile"], "no request is allowed");
}

/// By name: what makes a server unable to decide a new key, and what ends that.
const UNABLE: [(&str, &str, &str); 4] = [
    ("READONLY", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ("NOREPLICAS", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ("OOM", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ("NOPERM", "ACL SETUSER default -ratelimit.check", "ACL SETUSER default +ratelimit.check"),
];

#[test]
fn ready_means_able_to_decide_a_new_key() {
    let server = Setup::module(&servers()[0]).start();
    let mut control = server.connect();
    let closed = Settings::on(&server).set("ON_REDIS_FAILURE", "closed").start();
    let open = Settings::on(&server).set("ON_REDIS_FAILURE", "open").start();
    for (code, begin, end) in UNABLE {
        readiness(&closed, 200);
        readiness(&open, 200);
        control.must(begin);
        readiness(&closed, 503);
        let is_down = || open.metric("ratelimit_backend_up") == 0.0;
        eventually(&format!("{code} shows"), is_down);
        assert_eq!(open.get("/readyz").status, 200, "{code}: it goes on");
        assert_eq!(closed.metric("ratelimit_backend_up"), 0.0, "{code}");
        let never_ready = Settings::on(&server).set("RATE_LIMIT", 1).start();
        let names = |line: &serde_json::Value| line["text"].as_str().unwrap_or("").contains(code);
        eventually(&format!("the log names {code}"), || {
            never_ready.log("the backend does not decide").iter().any(names)
        });
        assert_eq!(never_ready.get("/readyz").status, 503, "{code}");
        control.must(end);
        readiness(&never_ready, 200);
    }
}

#[test]
fn each_mode_decides_where_the_server_refuses_and_says_so_in_the_log() {
    let server = Setup::module(&servers()[0]).start();
    server
        .connect()
        .must("ACL SETUSER weak on >x ~ratelimit:probe* +ratelimit.check +ratelimit.peek");
    let url = format!("redis://weak:x@127.0.0.1:{}", server.port());
    for (mode, status, v1) in [("local", 200, 200), ("open", 200, 200), ("closed", 503, 503)] {
        let settings = Settings::at(&url).set("ON_REDIS_FAILURE", mode).set("HASH_KEYS", "true");
        let service = settings.start();
        assert_eq!(service.get("/").status, status, "{mode}");
        let body = r#"{"key":"user'\u001b[31m","limit":9,"window":60}"#;
        assert_eq!(service.post("/v1/check", body).status, v1, "{mode}");
        assert_eq!(service.post("/v1/peek", body).status, v1, "{mode}");
        let line = "decided without Redis";
        eventually("a line each", || service.log(line).len() == 3);
        for (line, policy) in service.log(line).iter().zip(["default", "v1", "v1"]) {
            assert_eq!((&line["level"], &line["policy"]), (&json!("ERROR"), &json!(policy)));
            assert_eq!((&line["mode"], &line["failure"]), (&json!(mode), &json!("server")));
            assert!(line["why"].as_str().expect("text").starts_with("NOPERM"), "{line}");
        }
        let log = service.raw_log().join("\n");
        assert!(
            !log.contains("user'") && !log.contains("u001b") && !log.contains("ip:127"),
            "{log}"
        );
    }
}

#[test]
fn a_flood_of_fallbacks_leaves_some_lines_and_the_number_of_the_others() {
    let service = Settings::nowhere().set("RATE_LIMIT", 1_000_000).start();
    assert_eq!(service.statuses(300), [200; 300]);
    let left_out = || -> u64 {
        let messages = ["decided without Redis", "decisions without Redis left out"];
        let lines = messages.into_iter().flat_map(|message| service.log(message));
        lines.filter_map(|line| line["left_out"].as_u64()).sum()
    };
    eventually("each is a line or counted", || {
        service.log("decided without Redis").len() as u64 + left_out() == 300
    });
    assert!(left_out() > 0, "300 within 30 seconds are a flood");
    let line = &service.log("decided without Redis")[0];
    assert_eq!((&line["level"], &line["mode"]), (&json!("WARN"), &json!("local")));
}

/// Knows no module, and runs the script as a Redis before 7.0 does.
#[test]
fn a_server_that_can_never_decide_is_named_once_and_the_choice_decides() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || old_server(stream));
        }
    });
    let service = Settings::at(&format!("redis://127.0.0.1:{port}")).set("RATE_LIMIT", 2).start();
    assert_eq!(service.statuses(3), [200, 200, 429]);
    let message = "the server can never decide: it is too old";
    eventually("it is named", || service.log(message).len() == 1);
    assert_eq!(service.log(message)[0]["level"], "ERROR");
    assert_eq!(service.get("/readyz").status, 503);
}

fn old_server(stream: std::net::TcpStream) -> Option<()> {
    let mut source = BufReader::new(stream.try_clone().ok()?);
    let mut to = stream;
    let line = |source: &mut BufReader<_>| {
        let mut line = String::new();
        source.read_line(&mut line).ok().filter(|&length| length > 0).map(|_| line)
    };
    loop {
        let count: usize = line(&mut source)?.trim_end().strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let length: usize = line(&mut source)?.trim_end().strip_prefix('$')?.parse().ok()?;
            let mut word = vec![0; length + 2];
            std::io::Read::read_exact(&mut source, &mut word).ok()?;
            words.push(String::from_utf8_lossy(&word).trim_end().to_uppercase());
        }
        to.write_all(match words[0].as_str() {
            "PING" => b"+PONG\r\n",
            "CLIENT" | "HELLO" => b"+OK\r\n",
            "EVALSHA" | "EVAL" => b"-ERR the script needs Redis 7.0 or later, or Valkey\r\n",
            _ => b"-ERR unknown command\r\n",
        })
        .ok()?;
    }
}
