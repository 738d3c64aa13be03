//! Keys that do not belong to a limiter, and keys of any bytes.

use ratelimit_harness::{
    error_text, on_every_server, Connection, Frozen, Limiter, Reply, ALGORITHMS, T0_MILLIS,
};

/// Every call on the key gets the error of that name, and the key stays the same byte for byte.
fn is_rejected_and_unchanged(client: &mut Connection, limiter: &Limiter, key: &str, name: &str) {
    let before = client.snapshot(key.as_bytes());
    assert_ne!(before.0, Reply::Nil, "{key} exists");
    for algorithm in ALGORITHMS {
        for verb in ["CHECK", "PEEK"] {
            for words in [
                &["5", "60", "ALGORITHM", algorithm][..],
                &["0", "1ms", "9", "1d", "COST", "7", "ALGORITHM", algorithm],
            ] {
                let reply = limiter.send(client, verb, key.as_bytes(), words);
                let case = format!("{verb} {key} {words:?} of {}", limiter.name());
                assert_eq!(reply, Reply::Error(error_text(name).into()), "{case}");
                assert_eq!(client.snapshot(key.as_bytes()), before, "{case}");
            }
        }
    }
}

fn with_each_limiter(test: impl Fn(&mut Connection, &Limiter)) {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for limiter in frozen.limiters() {
            test(&mut frozen.connection, &limiter);
        }
    });
}

#[test]
fn keys_of_other_types_are_rejected_and_unchanged() {
    with_each_limiter(|client, limiter| {
        for command in
            ["RPUSH list a", "HSET hash a 1", "SADD set a", "ZADD zset 1 a", "XADD stream * a 1"]
        {
            let key = command.split(' ').nth(1).unwrap();
            client.must(command);
            is_rejected_and_unchanged(client, limiter, key, "WrongType");
            client.must(&format!("EXPIRE {key} 1000"));
            is_rejected_and_unchanged(client, limiter, key, "WrongType");
            client.must(&format!("DEL {key}"));
        }
    });
}

#[test]
fn strings_without_an_expiry_are_rejected_and_unchanged() {
    with_each_limiter(|client, limiter| {
        for value in ["5", "0", "hello", "f1 1000 5 5", "b1 60000000 1 0"] {
            client.call(&["SET", "forever", value]);
            is_rejected_and_unchanged(client, limiter, "forever", "NoExpiry");
        }
        client.must("SETBIT forever 7 1");
        is_rejected_and_unchanged(client, limiter, "forever", "NoExpiry");
        client.call(&["SET", "forever", ""]);
        is_rejected_and_unchanged(client, limiter, "forever", "NoExpiry");
    });
}

#[test]
fn foreign_strings_are_rejected_and_unchanged() {
    let long = "7".repeat(100_000);
    let values = [
        // not a plain count
        "",
        " ",
        "hello",
        "-1",
        "+1",
        "01",
        "00",
        "1 ",
        " 1",
        "1\n",
        "1\0",
        "1.5",
        "1e3",
        "0x1",
        "\u{ff}",
        "9007199254740992",
        "18446744073709551616",
        &long,
        // not quite a state
        "f1",
        "s1",
        "b1",
        "f1 ",
        "b1  60000000 1 0",
        "b1 60000000 1",
        "b1 60000000 1 0 ",
        "b1 60000000 1 0 1",
        "b1 60000001 1 0",
        "b1 0 1 0",
        "b1 31622400001000 1 0",
        "b1 60000000 01 0",
        "b1 60000000 1 1000000000000",
        "b1 60000000 9007199254740992 0",
        "b1 60000000 -1 0",
        "b2 60000000 1 0",
        "B1 60000000 1 0",
        "b1\t60000000 1 0",
        "b1 60000000 1 0 60000000 1 0",
        "b1 60000000 1 0 1000000 1 0",
        "b1 1000 1 0 2000 1 0 3000 1 0 4000 1 0 5000 1 0 6000 1 0 7000 1 0 8000 1 0 9000 1 0",
        "s1 60000000 1 2",
        "s1 60000000 1 2 3 4",
        "s1 60000000 1 1000000000001 0",
        "s1 60000000 1 0 1000000000001",
        "s1 60000000 1 0 0\0",
        "f1 60000000 1 1",
        "f1 60000000 1 1 1000000 1 1",
        "f1 1000000 1 1 60000000 1",
    ];
    with_each_limiter(|client, limiter| {
        let expiry = (T0_MILLIS + 60_000).to_string();
        for value in values {
            client.call(&["SET", "foreign", value, "PXAT", &expiry]);
            is_rejected_and_unchanged(client, limiter, "foreign", "Foreign");
        }
    });
}

#[test]
fn a_string_that_expires_after_2_to_the_53_is_rejected() {
    with_each_limiter(|client, limiter| {
        for expiry in ["9007199254740992", "9223372036854775000"] {
            client.call(&["SET", "late", "5", "PXAT", expiry]);
            is_rejected_and_unchanged(client, limiter, "late", "Foreign");
        }
        client.must("SET late 5 PXAT 9007199254740991");
        let reply = limiter.send(client, "PEEK", b"late", &["6", "60"]).numbers();
        assert_eq!(reply[..3], [1, 6, 1], "{}", limiter.name());
    });
}

#[test]
fn a_state_of_another_algorithm_is_rejected_and_unchanged() {
    with_each_limiter(|client, limiter| {
        for written in ALGORITHMS {
            for pairs in ["9 60", "9 60 99 1h"] {
                let key = format!("{written}:{}", pairs.len());
                client.must(&format!("RATELIMIT.CHECK {key} {pairs} ALGORITHM {written}"));
                let before = client.snapshot(key.as_bytes());
                for called in ALGORITHMS.into_iter().filter(|called| *called != written) {
                    for verb in ["CHECK", "PEEK"] {
                        let words = ["9", "60", "ALGORITHM", called];
                        let reply = limiter.send(client, verb, key.as_bytes(), &words);
                        let expected = Reply::Error(error_text("OtherAlgorithm").into());
                        assert_eq!(reply, expected, "{verb} {key} as {called}");
                        assert_eq!(client.snapshot(key.as_bytes()), before);
                    }
                }
                client.must(&format!("DEL {key}"));
            }
        }
    });
}

#[test]
fn keys_of_any_bytes_work() {
    let long = vec![b'k'; 100_000];
    let keys: [&[u8]; 9] =
        [b"", b"\0", b"a\0b", b"\xff\xfe\x80", b"\r\n", b"+OK\r\n", b" ", b"%s%n%d", &long];
    with_each_limiter(|client, limiter| {
        for key in keys {
            let name = key[..key.len().min(8)].escape_ascii();
            for algorithm in ALGORITHMS {
                let words = ["1", "60", "ALGORITHM", algorithm];
                assert!(limiter.send(client, "CHECK", key, &words).allowed(), "{name} {algorithm}");
                assert!(
                    !limiter.send(client, "CHECK", key, &words).allowed(),
                    "{name} {algorithm}"
                );
                assert!(!limiter.send(client, "PEEK", key, &words).allowed(), "{name} {algorithm}");
                assert_eq!(client.call(&[b"DEL", key]).integer(), 1, "{name} {algorithm}");
            }
        }
    });
}

#[test]
fn a_counter_moves_from_a_common_script_and_back() {
    with_each_limiter(|client, limiter| {
        let end = T0_MILLIS + 700_000;
        client.must(&format!("SET user 3 PXAT {end}"));
        let reply = limiter.send(client, "CHECK", b"user", &["5", "1000"]).numbers();
        assert_eq!(reply, [1, 5, 1, 0, 700_000]);
        assert_eq!(client.must("INCR user").integer(), 5);
        assert!(!limiter.send(client, "CHECK", b"user", &["5", "1000"]).allowed());
        assert_eq!(client.must("GET user").text(), "5");
        assert_eq!(client.must("PEXPIRETIME user").integer(), end);
        client.must("DEL user");
    });
}
