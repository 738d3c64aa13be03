//! A server that answers an error. An error about one call goes to the caller; any other error is a
//! failure, which the fallback answers.

use ratelimit_client::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ratelimit_client::redis::Client;
use ratelimit_client::{Backend, Error, Failure, Limiter, OnFailure, Policy, Source};
use ratelimit_harness::{
    error_text, eventually, not_applicable, Cluster, Connection, Reply, Server, Setup,
};

use crate::{client, connection, limiter, on_each, until, LONG, YEAR};

const POLICY: Policy = Policy::fixed(100, YEAR);

async fn error(limiter: &Limiter, key: &str) -> Error {
    limiter.check(key, &POLICY).await.expect_err("no answer")
}

/// One limiter by the module and one by the script. A single failed connection would open their
/// circuits, so these tests show that an answered error does not.
async fn both(server: &Server) -> [Limiter; 2] {
    let of = |which| async move {
        limiter(server).await.backend(which).circuit_breaker(1, LONG).build()
    };
    [of(Backend::Module).await, of(Backend::Script).await]
}

async fn fails(limiter: &Limiter, key: &str, why: &str) {
    let failed = limiter.check(key, &POLICY).await;
    assert!(matches!(failed, Err(Error::Unavailable(Failure::Server))), "{why}: {failed:?}");
}

#[test]
fn a_foreign_key_is_refused_in_the_words_of_the_server() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let mut control = server.connect();
        control.must("LPUSH list 1");
        control.must("SET foreign hello EX 100");
        control.must("SET forever 1");
        control.must("RATELIMIT.CHECK bucket 5 100 ALGORITHM BUCKET");
        for limiter in both(&server).await {
            let cases = [
                ("list", "WrongType"),
                ("foreign", "Foreign"),
                ("forever", "NoExpiry"),
                ("bucket", "OtherAlgorithm"),
            ];
            for (key, name) in cases {
                match error(&limiter, key).await {
                    Error::Refused(text) => assert_eq!(text, error_text(name)),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(limiter.counts().errors, 4);
            assert_eq!(limiter.counts().server_failures, 0);
        }
    });
}

#[test]
fn a_server_that_cannot_write_is_a_failure_and_is_still_asked() {
    on_each(async |binary| {
        let server = Setup::module(binary).with("save 3600 1000000").start();
        let mut control = server.connect();
        let limiters = both(&server).await;
        for limiter in &limiters {
            let mut states = Vec::new();
            let mut state =
                |on: &str, off: &str, why| states.push((on.to_owned(), off.to_owned(), why));
            state("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY");
            state(
                "CONFIG SET min-replicas-to-write 1",
                "CONFIG SET min-replicas-to-write 0",
                "NOREPLICAS",
            );
            state("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM");
            for (on, off, why) in states {
                control.must(&on);
                fails(limiter, "new", why).await;
                fails(limiter, "new", why).await;
                control.must(&off);
                assert!(limiter.check("k", &POLICY).await.unwrap().is_allowed(), "after {why}");
            }
            assert_eq!(limiter.counts().server_failures, 6);
            assert_eq!(limiter.counts().unavailable, 6);
        }
        // A directory in place of the file makes every save fail.
        std::fs::create_dir(server.dir().join("dump.rdb")).expect("a directory");
        control.reply_to("SAVE");
        control.must("BGSAVE");
        eventually("the save has failed", || control.info("rdb_last_bgsave_status") == "err");
        for limiter in &limiters {
            fails(limiter, "k", "MISCONF").await;
        }
    });
}

/// The key is one that an error of the server quotes: with a control character and a quote.
const ODD_KEY: &str = "user:'7\u{1b}[31m";

#[test]
fn a_missing_right_is_a_failure_whose_text_has_no_key() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let mut control = server.connect();
        for rule in ["resetkeys ~other:*", "allkeys -ratelimit.check -eval -evalsha -script|load"] {
            control.must(&format!("ACL SETUSER default {rule}"));
            for limiter in both(&server).await {
                fails(&limiter, ODD_KEY, rule).await;
                fails(&limiter, ODD_KEY, rule).await;
                let text = limiter.last_failure().unwrap();
                assert!(text.starts_with("NOPERM"), "{rule}: {text}");
                assert!(!text.contains("user:") && !text.contains(char::is_control), "{text}");
            }
        }
    });
}

#[test]
fn an_internal_error_is_a_failure_to_which_the_choice_applies() {
    on_each(async |binary| {
        let server = Setup::test_module(binary).start();
        let connection = connection(server.port()).await;
        let open = Limiter::redis(connection.clone(), OnFailure::open_after(LONG)).build();
        let local = Limiter::redis(connection, OnFailure::local_after(LONG, 1, 9)).build();
        assert_eq!(open.check("k", &POLICY).await.unwrap().source, Source::Module);
        server.connect().must("RATELIMIT.TEST FAIL-REPLICATION");
        let answer = open.check("k", &POLICY).await.unwrap();
        assert_eq!(answer.source, Source::FailedOpen(Failure::Server));
        assert_eq!(open.last_failure().unwrap(), error_text("Replication"));
        server.connect().must("RATELIMIT.TEST FAIL-REPLICATION");
        let answer = local.check("k", &POLICY).await.unwrap();
        assert_eq!(answer.source, Source::Local(Failure::Server));
    });
}

/// A script that sees itself on a server before 7.0.
#[test]
fn a_server_too_old_for_the_script_fails_before_anything_is_counted() {
    on_each(async |binary| {
        let server = Setup::plain(binary).start();
        let script = include_str!("../lua/ratelimit.lua");
        let old = format!("local redis = {{ error_reply = redis.error_reply }}\n{script}");
        let limiter = limiter(&server).await.script_text(&old).build();
        fails(&limiter, "k", "an old server").await;
        let text = limiter.last_failure().unwrap();
        assert_eq!(text, "ERR the script needs Redis 7.0 or later, or Valkey");
        assert_eq!(server.connect().must("DBSIZE").integer(), 0);
    });
}

#[test]
fn out_of_memory_the_existing_keys_are_still_limited() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let [module, _] = both(&server).await;
        assert!(module.check("k", &POLICY).await.unwrap().is_allowed());
        server.connect().must("CONFIG SET maxmemory 1");
        for i in 0..20 {
            fails(&module, &format!("new:{i}"), "OOM").await;
        }
        assert_eq!(module.check("k", &POLICY).await.unwrap().quota().remaining, 98);
    });
}

#[test]
fn a_server_that_is_busy_with_a_script_is_a_failure() {
    on_each(async |binary| {
        let server = Setup::module(binary).with("lua-time-limit 5").start();
        let [module, script] = both(&server).await;
        assert!(
            module.check("k", &POLICY).await.is_ok() && script.check("k", &POLICY).await.is_ok()
        );
        let mut busy = server.connect();
        busy.send(&["EVAL", "while true do end", "0"]);
        let mut control = server.connect();
        eventually("the server is busy", || matches!(control.reply_to("PING"), Reply::Error(_)));
        for limiter in [&module, &script] {
            fails(limiter, "k", "BUSY").await;
        }
        control.must("SCRIPT KILL");
        until("it decides again", || async { module.check("k", &POLICY).await.is_ok() }).await;
    });
}

#[test]
fn a_server_that_loads_its_data_is_a_failure() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let [module, script] = both(&server).await;
        assert!(
            module.check("k", &POLICY).await.is_ok() && script.check("k", &POLICY).await.is_ok()
        );
        let mut control = server.connect();
        // While it loads, the server answers once per this many bytes.
        control.must("CONFIG SET rdbcompression no");
        let value = "x".repeat(9_000);
        for i in 0..40 {
            control.must(&format!("SET key:{i} {value}"));
        }
        if control.reply_to("CONFIG SET key-load-delay 100000") != Reply::Status("OK".into()) {
            return not_applicable(binary, "loading", "it has no setting key-load-delay");
        }
        control.must("CONFIG SET loading-process-events-interval-bytes 1024");
        control.send(&["DEBUG", "RELOAD"]);
        let mut other = server.connect();
        eventually("it loads", || is_loading(&mut other));
        fails(&module, "k", "LOADING").await;
        fails(&script, "k", "LOADING").await;
        assert!(is_loading(&mut other), "still");
    });
}

fn is_loading(control: &mut Connection) -> bool {
    matches!(control.reply_to("GET key:1"), Reply::Error(text) if text.starts_with("LOADING"))
}

#[test]
fn the_wrong_node_of_a_cluster_is_a_failure() {
    on_each(async |binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        for node in &cluster.nodes {
            let limiter = limiter(node).await.build();
            let answers = [
                limiter.check("a", &POLICY).await,
                limiter.check("b", &POLICY).await,
                limiter.check("c", &POLICY).await,
            ];
            let moved =
                |answer: &Result<_, _>| matches!(answer, Err(Error::Unavailable(Failure::Server)));
            assert!(answers.iter().any(moved), "{answers:?}");
            assert_eq!(limiter.counts().errors, 0);
        }
        let alone = Setup::module(binary).with("cluster-enabled yes").start();
        fails(&limiter(&alone).await.build(), "k", "CLUSTERDOWN").await;
    });
}

#[test]
fn too_many_clients_or_a_wrong_password_is_a_failed_connection() {
    on_each(async |binary| {
        let mut server = Setup::module(binary).start();
        let on_failure = OnFailure::open_after(LONG);
        let lazy = |client| {
            let config = ConnectionManagerConfig::new().set_number_of_retries(0);
            let manager = ConnectionManager::new_lazy_with_config(client, config).unwrap();
            Limiter::redis(manager, on_failure).build()
        };
        let wrong = format!("redis://nobody:wrong@127.0.0.1:{}/", server.port());
        let stranger = lazy(Client::open(wrong).unwrap());
        let answer = stranger.check("k", &POLICY).await.unwrap();
        assert_eq!(answer.source, Source::FailedOpen(Failure::Connection));
        let _first = connection(server.port()).await;
        server.connect().must("CONFIG SET maxclients 1");
        let answer = lazy(client(server.port())).check("k", &POLICY).await.unwrap();
        assert_eq!(answer.source, Source::FailedOpen(Failure::Connection));
        server.kill();
        let answer = lazy(client(server.port())).check("k", &POLICY).await.unwrap();
        assert_eq!(answer.source, Source::FailedOpen(Failure::Connection));
    });
}
