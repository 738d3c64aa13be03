//! Memory is full: existing keys go on limiting, and only a new key gets an error.

use ratelimit_harness::{
    error_text, on_every_server, policies, Connection, Frozen, Limiter, ReplicationStream, Reply,
    Setup, ALGORITHMS,
};

const PAIRS: [&str; 2] = ["3 1000", "3 1000 9 2000"];

/// A server with a key for each policy, and no memory left.
fn on_every_full_server(test: impl Fn(&mut Connection, &Limiter)) {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for (key, words) in policies(&PAIRS) {
            frozen.connection.must(&format!("RATELIMIT.CHECK {key} {words}"));
        }
        frozen.connection.must("CONFIG SET maxmemory-policy noeviction");
        frozen.connection.must("CONFIG SET maxmemory 1");
        frozen.connection.reply_to("SET k v").expect_error("OOM");
        test(&mut frozen.connection, &frozen.script);
    });
}

#[test]
fn existing_keys_go_on_limiting() {
    on_every_full_server(|client, _| {
        for (key, words) in policies(&PAIRS) {
            for expected in [(true, 1), (true, 0), (false, 0)] {
                let reply = client.must(&format!("RATELIMIT.CHECK {key} {words}"));
                assert_eq!((reply.allowed(), reply.remaining()), expected, "{key}");
            }
        }
    });
}

#[test]
fn a_new_key_gets_the_servers_own_error() {
    on_every_full_server(|client, _| {
        let servers_own = client.reply_to("SET k v");
        assert_eq!(servers_own, Reply::Error(error_text("OutOfMemory").into()));
        let keys = client.must("DBSIZE");
        for (_, words) in policies(&PAIRS) {
            assert_eq!(
                client.reply_to(&format!("RATELIMIT.CHECK new {words}")),
                servers_own,
                "{words}"
            );
        }
        assert_eq!(client.must("DBSIZE"), keys);
        client.must("CONFIG SET maxmemory 0");
        assert!(client.must("RATELIMIT.CHECK new 3 1000").allowed());
    });
}

#[test]
fn a_denial_and_a_peek_need_no_memory() {
    on_every_full_server(|client, script| {
        for algorithm in ALGORITHMS {
            for (verb, words) in
                [("CHECK", "0 60"), ("CHECK", "5 60 COST 6"), ("PEEK", "0 60"), ("PEEK", "5 60")]
            {
                let words = format!("{words} ALGORITHM {algorithm}");
                let words: Vec<_> = words.split(' ').collect();
                for limiter in [&Limiter::Module, script] {
                    let reply = limiter.send(client, verb, b"new", &words);
                    let allowed = verb == "PEEK" && words[0] == "5";
                    assert_eq!(reply.allowed(), allowed, "{verb} {words:?} of {}", limiter.name());
                }
            }
        }
    });
}

#[test]
fn the_script_gets_an_error_where_it_would_allow() {
    on_every_full_server(|client, script| {
        for (key, words) in policies(&PAIRS) {
            let before = client.snapshot(key.as_bytes());
            let words: Vec<_> = words.split(' ').collect();
            for key in [&*key, "new"] {
                let reply = script.send(client, "CHECK", key.as_bytes(), &words);
                let oom = error_text("OutOfMemory").trim_end_matches('.');
                reply.expect_error(oom);
            }
            assert_eq!(client.snapshot(key.as_bytes()), before, "{key}");
        }
        assert!(script.send(client, "PEEK", b"FIXED-1", &["3", "1000"]).allowed());
        assert!(!script.send(client, "CHECK", b"FIXED-1", &["1", "1000"]).allowed());
    });
}

/// The server evicts before the call, and the call then takes some bytes itself: that must not
/// fail. Renamed commands must not make it fail either: the module needs only SET.
#[test]
fn a_new_key_is_made_as_long_as_the_server_can_evict() {
    const RENAMED: [&str; 6] = ["GET", "SETRANGE", "APPEND", "INCRBY", "STRLEN", "EXISTS"];
    on_every_server(|binary| {
        let rename = |setup: Setup, name| setup.with(&format!("rename-command {name} \"\""));
        let setup = RENAMED.into_iter().fold(Setup::test_module(binary), rename);
        let mut frozen = Frozen::on(setup.start());
        let mut stream = ReplicationStream::of(&frozen.server);
        let client = &mut frozen.connection;
        client.must("CONFIG SET maxmemory-policy allkeys-lru");
        // The buffer for replicas is memory too.
        client.must("CONFIG SET repl-backlog-size 16384");
        let limit = client.info_number("used_memory") + (1 << 18);
        client.must(&format!("CONFIG SET maxmemory {limit}"));
        for (_, words) in policies(&PAIRS) {
            client.must("FLUSHALL");
            stream.effects(client);
            let evicted = client.info_number("evicted_keys");
            // More keys than fit.
            for n in 0..4_000 {
                let reply = client.reply_to(&format!("RATELIMIT.CHECK new:{n} {words}"));
                assert!(reply.allowed(), "{n} {words}");
            }
            assert!(client.info_number("evicted_keys") > evicted, "{words}");
            // Replicas get only the effects and the evictions.
            let mut sent = stream.effects(client);
            sent.retain(|effect| !matches!(effect[0].as_str(), "DEL" | "UNLINK"));
            assert_eq!(sent.len(), 4_000, "{words}");
            assert!(sent.iter().all(|effect| effect[0] == "SET"), "{words}");
        }
    });
}
