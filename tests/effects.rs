//! What an allowed call changes elsewhere: on replicas, in files and in copies of a key.

use ratelimit_harness::{
    catch_up, fill, follow, next_decisions, on_every_server, samples_on, snapshots, Connection,
    Frozen, ReplicationStream, Reply, Server, Setup, SAMPLES, T0_MICROS, T0_MILLIS,
};

#[test]
fn a_replica_without_the_module_has_the_same_digest() {
    on_every_server(|binary| {
        let primary = Setup::module(binary).start();
        let replica = Setup::plain(binary).start();
        let mut link = replica.connect();
        follow(&mut link, &primary);
        let mut client = primary.connect();
        for n in 0..600 {
            let (key, words) = SAMPLES[n % SAMPLES.len()];
            client.must(&format!("RATELIMIT.CHECK {key}:{} {words} COST {}", n % 50, 1 + n % 4));
        }
        catch_up(&mut link, &primary);
        assert_eq!(link.must("DEBUG DIGEST"), client.must("DEBUG DIGEST"));
        for key in client.must("KEYS *").texts() {
            assert_eq!(link.snapshot(key.as_bytes()), client.snapshot(key.as_bytes()), "{key}");
        }
        link.reply_to("RATELIMIT.PEEK k 1 1").expect_error("ERR unknown command");
    });
}

/// In several databases, with threads that read the calls. After a crash, a server without the
/// module reads the file.
#[test]
fn keys_of_any_bytes_reach_the_replica_and_the_file() {
    // No window ends during the test.
    const POLICIES: [&str; 4] =
        ["9 1h", "9 1h 99 2h", "9 1h ALGORITHM SLIDING", "9 9h ALGORITHM BUCKET"];
    on_every_server(|binary| {
        let primary = with_aof(Setup::module(binary)).with("io-threads 4").start();
        let replica = Setup::plain(binary).start();
        let mut link = replica.connect();
        follow(&mut link, &primary);
        let long = vec![0xa5; 100_000];
        let keys: [&[u8]; 4] = [b"", b"\0\r\n$-1\r\n", b"\xff\xfe", &long];
        let mut clients: Vec<_> = ["0", "3", "9"].map(|n| (n, primary.connect())).into();
        for (database, client) in &mut clients {
            client.must(&format!("SELECT {database}"));
            for (key, words) in keys.iter().zip(POLICIES) {
                let words = words.split(' ').map(str::as_bytes);
                let call: Vec<_> = [b"RATELIMIT.CHECK", *key].into_iter().chain(words).collect();
                let replies = client.pipeline_calls(&[call.clone(), call]);
                assert!(replies[0].allowed(), "{}", key[..key.len().min(9)].escape_ascii());
            }
            assert_eq!(client.must("DBSIZE").integer(), 4, "of database {database}");
        }
        catch_up(&mut link, &primary);
        let digest = clients[0].1.must("DEBUG DIGEST");
        assert_eq!(link.must("DEBUG DIGEST"), digest, "of the replica");
        let plain = primary.restart_as(with_aof(Setup::plain(binary)));
        assert_eq!(plain.connect().must("DEBUG DIGEST"), digest, "of the file");
    });
}

#[test]
fn replicas_get_set_with_an_expiry_and_nothing_else() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let mut stream = ReplicationStream::of(&frozen.server);
        let end = |after: i64| (T0_MILLIS + after).to_string();
        let expected = [
            ("fixed 2 60", "1".to_owned(), end(60_000)),
            ("fixed 2 60", "2".to_owned(), end(60_000)),
            ("fixed 2 60", String::new(), String::new()),
            // Counts below 1000 are sent as strings that the module makes when it loads.
            ("count 2000 60 COST 10", "10".to_owned(), end(60_000)),
            ("count 2000 60 COST 989", "999".to_owned(), end(60_000)),
            ("count 2000 60", "1000".to_owned(), end(60_000)),
            (
                "sliding 2 60 ALGORITHM SLIDING",
                format!("s1 60000000 {T0_MICROS} 0 1"),
                end(120_000),
            ),
            (
                "bucket 2 60 ALGORITHM BUCKET",
                format!("b1 60000000 {} 0", T0_MICROS + 30_000_000),
                end(30_000),
            ),
            (
                "pairs 2 60 9 1",
                format!("f1 1000000 {} 1 60000000 {} 1", end(1000), end(60_000)),
                end(60_000),
            ),
        ];
        for (call, state, expiry) in expected {
            let allowed = frozen.connection.must(&format!("RATELIMIT.CHECK {call}")).allowed();
            frozen.connection.must(&format!("RATELIMIT.PEEK {call}"));
            let key = call.split(' ').next().unwrap();
            let set = ["SET", key, &state, "PXAT", &expiry].map(str::to_owned).to_vec();
            let expected = if allowed { vec![set] } else { Vec::new() };
            assert_eq!(stream.effects(&mut frozen.connection), expected, "{call}");
        }
    });
}

#[test]
fn a_transaction_and_a_script_replicate_their_effects_as_one() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let mut stream = ReplicationStream::of(&frozen.server);
        let client = &mut frozen.connection;
        let twice = ["MULTI", "RATELIMIT.CHECK k 9 60", "RATELIMIT.CHECK k 9 60", "EXEC"];
        client.pipeline(&twice);
        let sent = stream.effects(client);
        assert_eq!(names(&sent), ["MULTI", "SET", "SET", "EXEC"], "{sent:?}");
        let script = "redis.call('RATELIMIT.CHECK', KEYS[1], '9', '60')
                      return redis.call('RATELIMIT.CHECK', KEYS[1], '9', '60')";
        client.call(&["EVAL", script, "1", "k"]);
        let sent = stream.effects(client);
        assert_eq!(names(&sent), ["MULTI", "SET", "SET", "EXEC"], "{sent:?}");
        assert_eq!(sent[2][2], "4");
    });
}

fn names(effects: &[Vec<String>]) -> Vec<&str> {
    effects.iter().map(|words| &*words[0]).collect()
}

#[test]
fn a_promoted_replica_decides_the_same() {
    on_every_server(|binary| {
        let (mut frozen, replica) = Frozen::with_replica(binary);
        let mut link = replica.connect();
        fill(&mut frozen);
        catch_up(&mut link, &frozen.server);
        let expected = next_decisions(&frozen.server);
        assert_eq!(next_decisions(&replica), expected, "as a replica");
        link.must("REPLICAOF NO ONE");
        assert_eq!(next_decisions(&replica), expected, "as a primary");
        for (key, words) in SAMPLES {
            let call = format!("RATELIMIT.CHECK {key} {words}");
            assert_eq!(link.must(&call), frozen.connection.must(&call), "{call}");
        }
    });
}

/// Makes the samples, does something, and checks that the samples and the next decisions are the
/// same.
fn nothing_changes(setup: impl Fn(Setup) -> Setup, act: impl Fn(Frozen) -> Server) {
    on_every_server(|binary| {
        let mut frozen = Frozen::on(setup(Setup::test_module(binary)).start());
        fill(&mut frozen);
        let expected = samples_on(&frozen.server);
        let server = act(frozen);
        assert_eq!(samples_on(&server), expected);
    });
}

fn with_aof(setup: Setup) -> Setup {
    setup.with("appendonly yes").with("appendfsync always")
}

#[test]
fn replay_of_the_append_only_file_changes_nothing() {
    nothing_changes(with_aof, |frozen| frozen.server.restart());
}

#[test]
fn a_rewrite_of_the_append_only_file_changes_nothing() {
    nothing_changes(with_aof, |mut frozen| {
        frozen.connection.must("BGREWRITEAOF");
        ratelimit_harness::eventually("the rewrite ends", || {
            frozen.connection.info("aof_rewrite_in_progress") == "0"
                && frozen.connection.info("aof_rewrite_scheduled") == "0"
        });
        assert_eq!(frozen.connection.info("aof_last_bgrewrite_status"), "ok");
        frozen.server.restart()
    });
}

#[test]
fn debug_reload_changes_nothing() {
    nothing_changes(
        |setup| setup,
        |mut frozen| {
            frozen.connection.must("DEBUG RELOAD");
            frozen.server
        },
    );
}

#[test]
fn a_restart_from_the_snapshot_file_changes_nothing() {
    nothing_changes(
        |setup| setup,
        |mut frozen| {
            frozen.connection.must("SAVE");
            frozen.server.restart()
        },
    );
}

#[test]
fn the_data_set_loads_without_the_module_and_goes_back() {
    for setup in [with_aof as fn(Setup) -> Setup, |setup| setup] {
        nothing_changes(setup, |mut frozen| {
            let before = snapshots(&mut frozen.connection);
            frozen.connection.must("SAVE");
            let binary = frozen.server.binary();
            let plain = frozen.server.restart_as(setup(Setup::plain(binary)));
            let mut client = plain.connect();
            client.reply_to("RATELIMIT.PEEK k 1 1").expect_error("ERR unknown command");
            assert_eq!(snapshots(&mut client), before);
            client.must("INCRBY fixed 0");
            client.must("SAVE");
            plain.restart_as(setup(Setup::test_module(binary)))
        });
    }
}

#[test]
fn dump_and_restore_change_nothing() {
    nothing_changes(
        |setup| setup,
        |mut frozen| {
            let other = Setup::test_module(frozen.server.binary()).start();
            let mut client = other.connect();
            for (key, _) in SAMPLES {
                let (dump, expiry) = frozen.connection.snapshot(key.as_bytes());
                let expiry = expiry.integer().to_string();
                let words = [
                    "RESTORE".as_bytes(),
                    key.as_bytes(),
                    expiry.as_bytes(),
                    dump.bytes(),
                    b"ABSTTL",
                ];
                assert_eq!(client.call(&words), Reply::Status("OK".into()), "{key}");
            }
            other
        },
    );
}

/// MIGRATE sends the time left, not the expiry. So the transfer delays the expiry by some
/// milliseconds, and with it the end of a plain FIXED window.
#[test]
fn migrate_only_delays_the_expiry_by_the_transfer_time() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        fill(&mut frozen);
        let (left, left_decisions) = samples_on(&frozen.server);
        let other = Setup::test_module(binary).start();
        let port = other.port().to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "9000", "KEYS"];
        migrate.extend(SAMPLES.map(|(key, _)| key));
        assert_eq!(frozen.connection.call(&migrate), Reply::Status("OK".into()));
        let (arrived, arrived_decisions) = samples_on(&other);
        let delays: Vec<i64> =
            left.iter().zip(&arrived).map(|(old, new)| new.1.integer() - old.1.integer()).collect();
        assert!(delays.iter().all(|delay| (0..9000).contains(delay)), "{delays:?}");
        assert!(left.iter().zip(&arrived).all(|(old, new)| old.0 == new.0), "the bytes differ");
        for (old, new) in left_decisions.iter().zip(&arrived_decisions) {
            waits_longer(if old.0 == "fixed" { delays[0] } else { 0 }, &old.1, &new.1);
        }
    });
}

/// Checks that a decision is the same, but that its waits are longer by the delay.
fn waits_longer(delay: i64, old: &Reply, new: &Reply) {
    let mut expected = old.clone();
    if let (true, Reply::Array(fields)) = (delay > 0, &mut expected) {
        for wait in &mut fields[3..5] {
            *wait = Reply::Integer(wait.integer() + if wait.integer() > 0 { delay } else { 0 });
        }
    }
    assert_eq!(*new, expected);
}

#[test]
fn copy_and_rename_change_nothing() {
    nothing_changes(
        |setup| setup,
        |mut frozen| {
            for (key, _) in SAMPLES {
                frozen.connection.must(&format!("COPY {key} {key}:copy"));
                leaves_its_copy(&mut frozen.connection, key);
                frozen.connection.must(&format!("RENAME {key}:copy {key}"));
            }
            frozen.server
        },
    );
}

/// A call on a key does not change the copy of the key.
fn leaves_its_copy(client: &mut Connection, key: &str) {
    let copy = client.snapshot(format!("{key}:copy").as_bytes());
    let words = SAMPLES.iter().find(|sample| sample.0 == key).unwrap().1;
    client.must(&format!("RATELIMIT.CHECK {key} {words}"));
    assert_eq!(client.snapshot(format!("{key}:copy").as_bytes()), copy, "{key}");
}
