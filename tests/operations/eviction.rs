//! Full memory: how many keys fit, and what each eviction policy does to limits.

use ratelimit_harness::{
    on_every_server, Binary, Connection, Frozen, Reply, Server, Setup, T0_MILLIS,
};

use super::page::keys_per_gib;

/// Room for some thousand keys, besides the memory that an empty server takes.
const ROOM_BYTES: i64 = 1 << 20;

fn with_room(binary: &'static Binary, policy: &str, room_bytes: i64) -> (Server, Connection) {
    let server = Setup::module(binary).with(&format!("maxmemory-policy {policy}")).start();
    let mut client = server.connect();
    let limit = client.info_number("used_memory") + room_bytes;
    client.must(&format!("CONFIG SET maxmemory {limit}"));
    (server, client)
}

/// Makes keys until one gets an error, or until `is_over`. Returns the number of keys made.
fn flood(client: &mut Connection, words: &str, is_over: fn(&mut Connection) -> bool) -> usize {
    const AT_A_TIME: usize = 500;
    let mut made = 0;
    while !is_over(client) {
        let call = |n| format!("RATELIMIT.CHECK key:{n:012} {words}");
        let calls: Vec<_> = (made..made + AT_A_TIME).map(call).collect();
        let replies = client.pipeline(&calls);
        let failed = replies.iter().position(|reply| matches!(reply, Reply::Error(_)));
        made += failed.unwrap_or(AT_A_TIME);
        if let Some(failed) = failed {
            replies[failed].expect_error("OOM");
            return made;
        }
        assert!(made < 1_000_000, "memory does not fill up");
    }
    made
}

fn never(_: &mut Connection) -> bool {
    false
}

fn some_are_evicted(client: &mut Connection) -> bool {
    client.info_number("evicted_keys") > 0
}

#[test]
fn noeviction_refuses_new_keys_and_forgets_none() {
    on_every_server(|binary| {
        let (_server, mut client) = with_room(binary, "noeviction", ROOM_BYTES);
        assert!(client.must("RATELIMIT.CHECK victim 1 1h").allowed());
        assert!(flood(&mut client, "1 1h", never) > 1000);
        assert!(!client.must("RATELIMIT.CHECK victim 1 1h").allowed());
        assert_eq!(client.info_number("evicted_keys"), 0);
    });
}

/// Redis 7.0 refuses each command in a transaction then, and the transaction with it.
#[test]
fn a_transaction_in_full_memory_decides_as_a_whole_or_counts_nothing() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 1h");
        client.must("CONFIG SET maxmemory 1");
        client.must("MULTI");
        let calls = ["RATELIMIT.PEEK k 5 1h", "RATELIMIT.CHECK k 5 1h", "RATELIMIT.CHECK k 0 1h"];
        let queued = calls.map(|call| client.reply_to(call));
        let remaining = match client.reply_to("EXEC") {
            Reply::Error(error) => {
                assert!(error.starts_with("EXECABORT"), "{error}");
                queued.iter().for_each(|reply| reply.expect_error("OOM"));
                4
            }
            replies => {
                let allowed: Vec<_> = replies.array().iter().map(Reply::allowed).collect();
                assert_eq!(allowed, [true, true, false]);
                3
            }
        };
        assert_eq!(client.must("RATELIMIT.PEEK k 5 1h").remaining(), remaining);
        assert_eq!(client.must("RATELIMIT.CHECK k 5 1h").remaining(), remaining - 1);
    });
}

#[test]
fn an_evicted_key_starts_its_limit_again() {
    on_every_server(|binary| {
        for policy in [
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ] {
            let (_server, mut client) = with_room(binary, policy, ROOM_BYTES);
            let made = flood(&mut client, "1 1h", some_are_evicted);
            let mut is_gone =
                |n: &usize| client.must(&format!("EXISTS key:{n:012}")).integer() == 0;
            let evicted = (0..made).find(&mut is_gone).expect("a key that was evicted");
            let call = format!("RATELIMIT.CHECK key:{evicted:012} 1 1h");
            assert!(client.must(&call).allowed(), "{policy}");
        }
    });
}

#[test]
fn volatile_policies_evict_limits_before_other_keys() {
    on_every_server(|binary| {
        for policy in ["volatile-lru", "volatile-ttl"] {
            let (_server, mut client) = with_room(binary, policy, ROOM_BYTES);
            let limits: Vec<_> =
                (0..1000).map(|n| format!("RATELIMIT.CHECK limit:{n} 1 1h")).collect();
            assert!(client.pipeline(&limits).iter().all(Reply::allowed));
            let data = fill_with_data(&mut client);
            let keyspace = client.info("db0");
            assert!(keyspace.starts_with(&format!("keys={data},expires=0")), "{keyspace}");
        }
    });
}

/// Sets keys without an expiry until one gets an error. Returns the number of keys set.
fn fill_with_data(client: &mut Connection) -> usize {
    (0..)
        .find(|n| client.reply_to(&format!("SET data:{n} {n:0200}")) != Reply::Status("OK".into()))
        .unwrap()
}

#[test]
fn every_key_expires_by_itself() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for (words, lives_ms) in [
            ("6 60", 60_000),
            ("6 60 ALGORITHM SLIDING", 120_000),
            ("6 60 ALGORITHM BUCKET", 10_000),
            ("6 60 ALGORITHM BUCKET COST 6", 60_000),
        ] {
            frozen.connection.must("DEL k");
            frozen.connection.must(&format!("RATELIMIT.CHECK k {words}"));
            let end_ms = frozen.connection.must("PEXPIRETIME k").integer();
            assert_eq!(end_ms - T0_MILLIS, lives_ms, "{words}");
        }
        assert!(!frozen.connection.must("RATELIMIT.CHECK new 0 60").allowed());
        assert_eq!(frozen.connection.must("EXISTS new").integer(), 0);
    });
}

#[test]
fn as_many_keys_fit_as_the_page_says() {
    const SHARE: i64 = 128;
    on_every_server(|binary| {
        for (algorithm, promised) in keys_per_gib(&binary.name) {
            let (_server, mut client) = with_room(binary, "noeviction", (1 << 30) / SHARE);
            let fit = flood(&mut client, &format!("7 1h ALGORITHM {algorithm}"), never) as f64;
            let promised = promised * 1e6 / SHARE as f64;
            let ratio = fit / promised;
            assert!((0.8..1.25).contains(&ratio), "{algorithm}: {fit} instead of {promised}");
        }
    });
}
