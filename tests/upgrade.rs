//! The procedures of docs/upgrade.md, with the commands of that page: another build replaces the
//! module under load, the common script and the command take turns, and a server goes on without
//! the module.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread;

use ratelimit_harness::{
    catch_up, eventually, follow, is_primary, module, on_every_server, page, policies, test_module,
    Binary, Cluster, Connection, Limiter, Reply, Server, Setup,
};
use tempfile::TempDir;

const CALLERS: i64 = 4;
const LIMIT: i64 = 8_000;
/// So many calls are allowed before the upgrade, and at least so many are left for after it.
const BEFORE: i64 = 500;
const CALL: &str = "RATELIMIT.CHECK {k} 8000 366d";

/// The commands after a prompt, such as `redis> `, in one section of docs/upgrade.md.
fn typed(section: &str, prompt: &str) -> Vec<String> {
    let page = page("docs/upgrade.md");
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().expect("its text");
    // Commands are in blocks and in the table.
    let lines = section.lines().flat_map(|line| line.split('`')).map(str::trim);
    let typed = lines.filter_map(|line| line.strip_prefix(prompt));
    let typed = typed.map(|line| line.split(" #").next().expect("a command").trim().to_owned());
    let typed: Vec<_> = typed.collect();
    assert!(!typed.is_empty(), "no command after {prompt}");
    typed
}

const FAILOVER: &str = "Replica first, then failover";
const NEW: &str = "/usr/local/lib/libratelimit-0.2.0.so";

/// The path from which servers load the module: first the release, then the other build.
struct Installed {
    dir: TempDir,
}

impl Installed {
    fn release() -> Self {
        let installed = Self { dir: tempfile::tempdir().expect("a directory") };
        symlink(module(), installed.path()).expect("a link");
        installed
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("libratelimit.so")
    }

    fn upgrade(&self) {
        fs::remove_file(self.path()).expect("a link");
        symlink(test_module(), self.path()).expect("a link");
    }

    fn setup(&self, binary: &'static Binary) -> Setup {
        Setup::plain(binary).with(&format!("loadmodule {}", self.path().display()))
    }
}

/// Whether the other build runs: only that build has this command.
fn is_upgraded(server: &Server) -> bool {
    server.connect().knows_command("RATELIMIT.TEST")
}

fn restart(server: &mut Server) {
    server.kill();
    server.start_again();
}

/// Runs `upgrade` while callers call until they are denied, and returns the number of allowed
/// calls. A caller goes to the other server when one sends it away.
fn allowed_meanwhile(servers: [u16; 2], upgrade: impl FnOnce()) -> i64 {
    let (allowed, upgraded) = (AtomicI64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| call_until_denied(servers, &allowed, &upgraded));
        }
        eventually("calls are allowed", || allowed.load(Relaxed) >= BEFORE);
        upgrade();
        upgraded.store(true, Relaxed);
    });
    allowed.into_inner()
}

/// Leaves some calls for after the upgrade.
fn call_until_denied(servers: [u16; 2], allowed: &AtomicI64, upgraded: &AtomicBool) {
    let words: Vec<_> = CALL.split(' ').collect();
    let mut servers = servers.iter().cycle();
    let mut next = || {
        let port = *servers.next().expect("a circle");
        let mut connection = None;
        eventually("a server accepts", || {
            connection = Connection::open(port).ok();
            connection.is_some()
        });
        connection.expect("it accepted")
    };
    let mut client = next();
    loop {
        if !upgraded.load(Relaxed) && allowed.load(Relaxed) > LIMIT - BEFORE {
            thread::yield_now();
            continue;
        }
        match client.try_call(&words) {
            Ok(Reply::Error(error)) => {
                assert!(error.starts_with("READONLY"), "{error}");
                client = next();
            }
            Ok(reply) if !reply.allowed() => return,
            Ok(_) => drop(allowed.fetch_add(1, Relaxed)),
            Err(_) => client = next(),
        }
    }
}

#[test]
fn an_upgraded_replica_takes_over_and_no_count_is_lost() {
    on_every_server(|binary| {
        let installed = Installed::release();
        let mut primary = installed.setup(binary).start();
        let follows = format!("replicaof 127.0.0.1 {}", primary.port());
        let mut replica = installed.setup(binary).with(&follows).start();
        catch_up(&mut replica.connect(), &primary);

        let allowed = allowed_meanwhile([primary.port(), replica.port()], || {
            installed.upgrade();
            restart(&mut replica);
            for line in typed(FAILOVER, "replica> ") {
                if line.starts_with("INFO") {
                    let is_up = || replica.connect().must(&line).text().contains("link_status:up");
                    eventually("the replica has caught up", is_up);
                }
            }
            let address = format!("127.0.0.1 {}", replica.port());
            for line in typed(FAILOVER, "primary> ") {
                let line = line.replace("replica.example 6379", &address);
                let starts = || matches!(primary.connect().reply_to(&line), Reply::Status(_));
                eventually("the primary starts the failover", starts);
            }
            eventually("the replica takes over", || is_primary(&replica));
            assert!(is_upgraded(&replica) && !is_upgraded(&primary));
        });
        assert_eq!(allowed, LIMIT);
        restart(&mut primary);
        follow(&mut primary.connect(), &replica);
        assert!(is_upgraded(&primary));
        assert!(!replica.connect().must(CALL).allowed());
    });
}

#[test]
fn sentinels_promote_an_upgraded_replica_with_its_counts() {
    on_every_server(|binary| {
        let installed = Installed::release();
        let primary = installed.setup(binary).start();
        let follows = format!("replicaof 127.0.0.1 {}", primary.port());
        let mut replica = installed.setup(binary).with(&follows).start();
        primary.connect().must("RATELIMIT.CHECK k 5 1h COST 3");
        installed.upgrade();
        restart(&mut replica);
        catch_up(&mut replica.connect(), &primary);

        let sentinel = Setup::sentinel(&primary, 1).start();
        let [line] = &*typed(FAILOVER, "sentinel> ") else { panic!("one command") };
        // The sentinel answers an error until it knows the replica.
        let starts = || matches!(sentinel.connect().reply_to(line), Reply::Status(_));
        eventually("the sentinel agrees to fail over", starts);
        eventually("the replica takes over", || is_primary(&replica));
        assert!(is_upgraded(&replica));
        let reply = replica.connect().must("RATELIMIT.CHECK k 5 1h");
        assert_eq!(reply.remaining(), 1);
    });
}

#[test]
fn a_shard_of_a_cluster_is_upgraded_and_no_count_is_lost() {
    on_every_server(|binary| {
        let installed = Installed::release();
        let mut cluster = Cluster::start_with_replicas(&installed.setup(binary));
        let shard = cluster.owner(cluster.slot("{k}"));
        installed.upgrade();
        restart(&mut cluster.replicas[shard]);
        catch_up(&mut cluster.replicas[shard].connect(), &cluster.nodes[shard]);
        let replica = &cluster.replicas[shard];

        let allowed = AtomicI64::new(0);
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                let mut client = cluster.client();
                let allowed = &allowed;
                scope.spawn(move || {
                    let words: Vec<_> = CALL.split(' ').collect();
                    while client.call(&words).allowed() {
                        allowed.fetch_add(1, Relaxed);
                    }
                });
            }
            eventually("calls are allowed", || allowed.load(Relaxed) >= BEFORE);
            let over =
                typed(FAILOVER, "replica> ").into_iter().find(|line| line.contains("CLUSTER"));
            let over = over.expect("the command of the table");
            fail_over(replica, &over);
        });
        assert!(is_upgraded(replica));
        assert_eq!(allowed.into_inner(), LIMIT);
    });
}

/// Votes can get lost on connections that the restart has cut. Then the command is sent again.
fn fail_over(replica: &Server, line: &str) {
    let mut sent = 0;
    eventually("the replica takes over", || {
        let timed_out = replica.log().matches("Manual failover timed out").count();
        if timed_out == sent {
            replica.connect().must(line);
            sent += 1;
        }
        is_primary(replica)
    });
}

#[test]
fn in_place_the_command_is_never_missing() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        let allowed = allowed_meanwhile([server.port(); 2], || {
            let lines = typed("In place", "redis> ");
            let (list, swap) = lines.split_first().expect("commands");
            assert_eq!(list, "ACL LIST");
            assert!(!admin.must(list).texts().concat().contains("ratelimit"));
            let new = test_module().display().to_string();
            assert!(swap.iter().any(|line| line.contains(NEW)), "the page names another file");
            let replies: Vec<_> =
                swap.iter().map(|line| admin.must(&line.replace(NEW, &new))).collect();
            let [_killed, _subscribers, rest @ ..] = replies.last().expect("of EXEC").array()
            else {
                panic!("{replies:?}");
            };
            let ok = Reply::Status("OK".to_owned());
            assert_eq!(rest, [ok.clone(), ok.clone(), ok]);
        });
        // For each caller, a call may be counted whose answer was lost.
        assert!((LIMIT - CALLERS..=LIMIT).contains(&allowed), "{allowed}");
        assert!(is_upgraded(&server));
        assert_eq!(admin.must("CONFIG GET ratelimit.allow-unload").texts()[1], "no");
    });
}

/// Clients whose last command is the module's: callers, and subscribers that call as well, which
/// RESP3 allows.
fn clients_after_a_call(server: &Server) -> Vec<Connection> {
    let mut clients = Vec::new();
    for call in ["RATELIMIT.CHECK k 5 60", "RATELIMIT.PEEK k 5 60"] {
        let mut caller = server.connect();
        caller.must(call);
        let mut subscriber = server.connect_resp3();
        subscriber.must("SUBSCRIBE news");
        subscriber.must(call);
        clients.extend([caller, subscriber]);
    }
    clients
}

/// The lines of the page from MULTI to EXEC, with the path of another build.
fn swap() -> Vec<String> {
    let lines = typed("In place", "redis> ").into_iter().skip_while(|line| line != "MULTI");
    lines.map(|line| line.replace(NEW, &test_module().display().to_string())).collect()
}

/// Overwrites memory that the server has freed. A pointer to it then leads nowhere.
fn overwrite_freed_memory(client: &mut Connection) -> io::Result<()> {
    for bytes in 8..1000 {
        client.try_call(&["SET", &format!("junk:{bytes}"), &"A".repeat(bytes)])?;
    }
    Ok(())
}

#[test]
fn in_place_no_client_refers_to_the_old_module() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let _clients = clients_after_a_call(&server);
        let mut admin = server.connect();
        let mut lines = swap();
        let setting = lines.iter().position(|line| line.starts_with("CONFIG SET"));
        lines.insert(setting.expect("the setting"), "CLIENT LIST".to_owned());
        assert!(admin.must("CLIENT LIST").text().contains("cmd=ratelimit."));
        let replies: Vec<_> = lines.iter().map(|line| admin.must(line)).collect();
        let of_exec = replies.last().expect("of EXEC").array();
        let [normal, subscribers, list, ..] = of_exec else { panic!("{replies:?}") };
        assert_eq!((normal.integer(), subscribers.integer()), (2, 2));
        assert!(!list.text().contains("cmd=ratelimit."), "{list:?}");
        overwrite_freed_memory(&mut admin).expect("the server lives");
        admin.must("CLIENT LIST");
        assert!(admin.must("RATELIMIT.CHECK k 5 60").allowed());
    });
}

/// The reason for both kills. Here the old module is unloaded and no other takes its place, so that
/// all of its memory is free for other things.
#[test]
fn without_one_of_the_kills_a_list_of_clients_ends_the_server() {
    on_every_server(|binary| {
        for left_out in ["CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"] {
            let server = Setup::module(binary).start();
            let _clients = clients_after_a_call(&server);
            let mut admin = server.connect();
            let is_sent = |line: &String| line != left_out && !line.starts_with("MODULE LOAD");
            let lines: Vec<_> = swap().into_iter().filter(is_sent).collect();
            assert_eq!(lines.len(), swap().len() - 2, "the page has the line {left_out}");
            for line in lines {
                admin.must(&line);
            }
            eventually("the server ends", || {
                let overwritten = overwrite_freed_memory(&mut admin);
                overwritten.and_then(|()| admin.try_call(&["CLIENT", "LIST"])).is_err()
            });
        }
    });
}

/// Valkey refuses, Redis 8.2 ends at once, and Redis 7.0 when it shows the rule.
#[test]
fn an_acl_rule_that_names_the_commands_forbids_unloading() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        admin.must("ACL SETUSER app on nopass ~* +ratelimit.check");
        admin.must("CONFIG SET ratelimit.allow-unload yes");
        match admin.try_call(&["MODULE", "UNLOAD", "ratelimit"]) {
            Ok(Reply::Error(error)) => {
                assert!(error.contains("ACL"), "{error}");
                assert_eq!(admin.must("RATELIMIT.CHECK k 5 60").remaining(), 4);
                assert!(admin.must("ACL LIST").texts().concat().contains("ratelimit.check"));
            }
            Ok(_) => drop(admin.try_call(&["ACL", "LIST"]).expect_err("the server ends")),
            Err(_) => {}
        }
    });
}

#[test]
fn the_common_script_and_the_command_share_counts() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        let source = page("bench/scripts/common.lua");
        let sha = client.call(&["SCRIPT", "LOAD", &source]).text();
        let lines = typed("From the common script to the command, and back", "redis> ");
        let [script, command] = &*lines else { panic!("two commands") };
        let script = script.replace("sha", &sha);
        for order in 0..2 {
            client.must("DEL user:42");
            for i in 0..7 {
                let allowed = is_allowed(&mut client, &script, command, i % 2 == order);
                assert_eq!(allowed, i < 5, "call {i}, order {order}");
            }
            let left = client.must("PTTL user:42").integer();
            assert!((1..=60_000).contains(&left), "the window has an end");
        }
        client.must("SET user:42 1");
        let reply = client.reply_to(command);
        assert_eq!(reply.error(), "ERR key has no expiry, so it is not a rate limiter's");
        client.must("DEL user:42");
        client.must("ZADD user:42 1 x");
        client.reply_to(command).expect_error("WRONGTYPE");
    });
}

fn is_allowed(client: &mut Connection, script: &str, command: &str, by_script: bool) -> bool {
    if by_script {
        return client.must(script).integer() == 1;
    }
    client.must(command).allowed()
}

#[test]
fn the_script_goes_on_with_the_counts_and_back() {
    on_every_server(|binary| {
        let kept = "appendonly yes";
        let check_all = |client: &mut Connection, limiter: &Limiter, remaining: i64| {
            for (key, words) in policies(&["5 1h", "5 1h 9 1d"]) {
                let words: Vec<_> = words.split(' ').collect();
                let reply = limiter.send(client, "CHECK", key.as_bytes(), &words);
                let left = reply.remaining();
                assert_eq!(left, remaining, "{key} by {}", limiter.name());
            }
        };
        let mut server = Setup::module(binary).with(kept).with("appendfsync always").start();
        check_all(&mut server.connect(), &Limiter::Module, 4);
        server = server.restart_as(Setup::plain(binary).with(kept).with("appendfsync always"));
        let mut client = server.connect();
        let script = Limiter::script(&mut client);
        check_all(&mut client, &script, 3);
        is_the_call_of_the_page(&script);
        server = server.restart_as(Setup::module(binary).with(kept));
        check_all(&mut server.connect(), &Limiter::Module, 2);
    });
}

fn is_the_call_of_the_page(script: &Limiter) {
    let Limiter::Script { sha } = script else { panic!("a script") };
    let call: Vec<_> = script.call("CHECK", b"user:42", &["5", "60"]);
    let call = call.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    assert_eq!(typed("Without the module", "redis> "), [call.replace(sha, "sha")]);
}

#[test]
fn a_server_with_lines_that_name_the_module_needs_it() {
    on_every_server(|binary| {
        for line in ["ratelimit.allow-unload no", "user app on nopass ~* +ratelimit.check"] {
            Setup::module(binary).with(line).start();
            Setup::plain(binary).with(line).refuses_to_start();
        }
    });
}
