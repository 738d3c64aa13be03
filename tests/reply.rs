//! The reply: its form on the wire. It is the same from a client, a transaction and a script.

use ratelimit_harness::{
    on_every_server, Connection, Frozen, Limiter, Reply, Setup, ALGORITHMS, T0_MICROS,
};

const SIX_CALLS: [&str; 6] = [
    "*5\r\n:1\r\n:5\r\n:4\r\n:0\r\n:60000\r\n",
    "*5\r\n:1\r\n:5\r\n:3\r\n:0\r\n:60000\r\n",
    "*5\r\n:1\r\n:5\r\n:2\r\n:0\r\n:60000\r\n",
    "*5\r\n:1\r\n:5\r\n:1\r\n:0\r\n:60000\r\n",
    "*5\r\n:1\r\n:5\r\n:0\r\n:0\r\n:60000\r\n",
    "*5\r\n:0\r\n:5\r\n:0\r\n:60000\r\n:60000\r\n",
];

const TWO_PAIRS: &str = "*6\r\n:1\r\n:5\r\n:4\r\n:0\r\n:1000\r\n\
    *2\r\n*4\r\n:5\r\n:4\r\n:0\r\n:1000\r\n*4\r\n:100\r\n:99\r\n:0\r\n:60000\r\n";

#[test]
fn the_sixth_call_of_five_is_denied_and_has_a_wait() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        for remaining in [4, 3, 2, 1, 0] {
            let reply = client.reply_to("RATELIMIT.CHECK user:42 5 60").integers();
            assert_eq!(reply[..4], [1, 5, remaining, 0]);
            assert!((1..=60_000).contains(&reply[4]), "reset_after_ms {}", reply[4]);
        }
        let denied = client.reply_to("RATELIMIT.CHECK user:42 5 60").integers();
        assert_eq!(denied[..3], [0, 5, 0]);
        assert!((1..=60_000).contains(&denied[3]), "retry_after_ms {}", denied[3]);
        assert_eq!(denied[3], denied[4]);
    });
}

#[test]
fn is_an_array_of_integers_in_resp2_and_resp3() {
    on_every_server(|binary| {
        let frozen = Frozen::start(binary);
        for (key, mut client) in
            [("in-2", frozen.server.connect()), ("in-3", frozen.server.connect_resp3())]
        {
            for limiter in frozen.limiters() {
                shape(&mut client, &limiter, key);
                client.must(&format!("DEL {key} {key}:pairs"));
            }
        }
    });
}

fn shape(client: &mut Connection, limiter: &Limiter, key: &str) {
    for (i, expected) in SIX_CALLS.iter().enumerate() {
        limiter.send(client, "CHECK", key.as_bytes(), &["5", "60"]);
        assert_eq!(client.raw(), *expected, "call {} of {}", i + 1, limiter.name());
    }
    limiter.send(client, "PEEK", key.as_bytes(), &["5", "60"]);
    assert_eq!(client.raw(), SIX_CALLS[5], "PEEK of {}", limiter.name());
    let pairs = format!("{key}:pairs");
    limiter.send(client, "CHECK", pairs.as_bytes(), &["5", "1", "100", "60"]);
    assert_eq!(client.raw(), TWO_PAIRS, "two pairs of {}", limiter.name());
    limiter.send(client, "CHECK", pairs.as_bytes(), &["5", "60", "COST", "6"]);
    assert_eq!(client.raw(), "*5\r\n:0\r\n:5\r\n:4\r\n:-1\r\n:60000\r\n", "{}", limiter.name());
}

#[test]
fn is_the_same_from_a_transaction() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let client = &mut frozen.connection;
        client.must("MULTI");
        client.must("RATELIMIT.CHECK k 1 60");
        client.must("RATELIMIT.CHECK k 1 60");
        client.must("RATELIMIT.PEEK k 1 60");
        client.must("RATELIMIT.CHECK k 1 sixty");
        let replies = client.must("EXEC");
        let [first, second, peek, wrong] = replies.array() else { panic!("{replies:?}") };
        assert_eq!(first.integers(), [1, 1, 0, 0, 60_000]);
        assert_eq!(second.integers(), [0, 1, 0, 60_000, 60_000]);
        assert_eq!(peek.integers(), [0, 1, 0, 60_000, 60_000]);
        wrong.expect_error("ERR window must");
    });
}

#[test]
fn is_the_same_from_a_script() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let client = &mut frozen.connection;
        let script = "return redis.call('RATELIMIT.CHECK', KEYS[1], unpack(ARGV))";
        let mut eval = |words: &str| {
            let mut call = vec!["EVAL", script, "1", "k"];
            call.extend(words.split(' '));
            client.call(&call)
        };
        assert_eq!(eval("1 60").integers(), [1, 1, 0, 0, 60_000]);
        assert_eq!(eval("1 60").integers(), [0, 1, 0, 60_000, 60_000]);
        let pairs = eval("1 60 9 1h");
        assert_eq!(pairs.array().len(), 6);
        assert_eq!(pairs.array()[5].array()[1].integers(), [9, 9, 0, 0]);
        eval("1 sixty").expect_error("ERR window must");
    });
}

#[test]
fn peek_shows_what_check_would_decide() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let client = &mut frozen.connection;
        assert_eq!(client.reply_to("RATELIMIT.PEEK k 2 60").integers(), [1, 2, 2, 0, 0]);
        client.must("RATELIMIT.CHECK k 2 60");
        assert_eq!(client.reply_to("RATELIMIT.PEEK k 2 60").integers(), [1, 2, 1, 0, 60_000]);
        assert_eq!(
            client.reply_to("RATELIMIT.PEEK k 2 60 COST 2").integers(),
            [0, 2, 1, 60_000, 60_000]
        );
        client.must("DEL k");
        assert_eq!(client.reply_to("RATELIMIT.PEEK k 2 60").integers(), [1, 2, 2, 0, 0]);
    });
}

#[test]
fn a_wait_is_exact_to_the_millisecond() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for algorithm in ALGORITHMS {
            let call = format!("RATELIMIT.CHECK {algorithm} 7 11ms ALGORITHM {algorithm}");
            frozen.set_clock(T0_MICROS + 345);
            while frozen.connection.reply_to(&call).allowed() {}
            let wait = frozen.connection.reply_to(&call).retry_after_ms();
            assert!(wait >= 1, "{algorithm}: {wait}");
            frozen.set_clock(T0_MICROS + 345 + (wait - 1) * 1000);
            assert!(
                !frozen.connection.reply_to(&call).allowed(),
                "{algorithm}: 1 ms before {wait}"
            );
            frozen.set_clock(T0_MICROS + 345 + wait * 1000);
            assert!(frozen.connection.reply_to(&call).allowed(), "{algorithm}: at {wait}");
        }
    });
}

#[test]
fn errors_are_errors_in_resp2_and_resp3() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        for mut client in [server.connect(), server.connect_resp3()] {
            assert!(matches!(client.reply_to("RATELIMIT.CHECK k 1 0"), Reply::Error(_)));
            assert!(client.raw().starts_with("-ERR window must be"), "{}", client.raw());
        }
    });
}
