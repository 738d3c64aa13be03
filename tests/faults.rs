//! Faults that the test module provokes: the server survives, and nothing changes.

use ratelimit_harness::{
    error_text, on_every_server, policies, Connection, Frozen, ReplicationStream, Reply,
};

#[derive(Debug, PartialEq)]
struct Snapshot {
    key: (Reply, Reply),
    changes: String,
    keys: Reply,
}

fn snapshot(client: &mut Connection, key: &str) -> Snapshot {
    Snapshot {
        key: client.snapshot(key.as_bytes()),
        changes: client.info("rdb_changes_since_last_save"),
        keys: client.must("DBSIZE"),
    }
}

/// Provokes the fault in a call on a new key and in a call on an existing key.
fn changes_nothing(fault: &str, call: &str, error: &str, counter: &str) {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let mut stream = ReplicationStream::of(&frozen.server);
        let client = &mut frozen.connection;
        let mut provoked = 0;
        for (key, words) in policies(&["5 1000", "5 1000 9 2000"]) {
            for allowed_before in 0..2 {
                let before = snapshot(client, &key);
                stream.effects(client);
                client.must(&format!("RATELIMIT.TEST {fault}"));
                let reply = client.reply_to(&format!("{call} {key} {words}"));
                provoked += 1;
                assert_eq!(reply, Reply::Error(error_text(error).into()), "{key}");
                assert_eq!(snapshot(client, &key), before, "{key}");
                assert_eq!(stream.effects(client), Vec::<Vec<String>>::new(), "{key}");
                assert_eq!(client.info_number(counter), provoked);
                assert_eq!(client.info_number("ratelimit_errors"), provoked);
                // The next call is decided as if the fault had not happened.
                let reply = client.must(&format!("RATELIMIT.CHECK {key} {words}"));
                assert_eq!(reply.remaining(), 4 - allowed_before, "{key}");
                assert_eq!(stream.effects(client).len(), 1, "{key}");
            }
        }
    });
}

#[test]
fn a_panic_in_check_is_an_error_and_changes_nothing() {
    changes_nothing("PANIC", "RATELIMIT.CHECK", "Panic", "ratelimit_caught_panics");
}

#[test]
fn a_panic_in_peek_is_an_error_and_changes_nothing() {
    changes_nothing("PANIC", "RATELIMIT.PEEK", "Panic", "ratelimit_caught_panics");
}

#[test]
fn a_failed_replication_is_an_error_and_changes_nothing() {
    let counter = "ratelimit_replication_failures";
    changes_nothing("FAIL-REPLICATION", "RATELIMIT.CHECK", "Replication", counter);
}

#[test]
fn a_panic_in_a_transaction_and_in_a_script_is_an_error_there() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let client = &mut frozen.connection;
        client.must("RATELIMIT.TEST PANIC");
        let calls = ["MULTI", "RATELIMIT.CHECK k 5 60", "RATELIMIT.CHECK k 5 60", "EXEC"];
        let replies = client.pipeline(&calls);
        let [first, second] = replies[3].array() else { panic!("{replies:?}") };
        assert_eq!(first.error(), error_text("Panic"));
        assert_eq!(second.numbers(), [1, 5, 4, 0, 60_000]);
        client.must("RATELIMIT.TEST PANIC");
        let script = "return redis.pcall('RATELIMIT.CHECK', KEYS[1], '5', '60')";
        assert_eq!(client.call(&["EVAL", script, "1", "k"]).error(), error_text("Panic"));
        assert_eq!(client.must("GET k").text(), "1");
    });
}

#[test]
fn a_caught_panic_is_in_the_log() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        frozen.connection.must("RATELIMIT.TEST PANIC");
        frozen.connection.reply_to("RATELIMIT.CHECK k 5 60").error();
        let log = frozen.server.log();
        assert!(log.lines().any(|l| l.contains("<ratelimit>") && l.contains("panic")), "{log}");
    });
}
