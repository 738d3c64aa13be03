//! Wrong arguments: the module and the script answer the same error, and the key stays as it was.
//! The bounds, and an example of each error, are in `tests/vectors.txt`.

use ratelimit_harness::{error_text, on_every_server, Frozen, Reply};

/// The words after the key, and the name of the error, or `-` for no error.
const CASES: &[(&str, &str)] = &[
    // limit: digits and nothing else
    ("99999999999999999999999999 60", "Limit"),
    ("00 60", "Limit"),
    ("1e3 60", "Limit"),
    ("0x10 60", "Limit"),
    ("five 60", "Limit"),
    ("nan 60", "Limit"),
    ("inf 60", "Limit"),
    // window: digits and a unit, in lower case
    ("5 1", "-"),
    ("5 1s", "-"),
    ("5 31622400s", "-"),
    ("5 31622401s", "Window"),
    ("5 18446744073709551616", "Window"),
    ("5 18446744073709552000ms", "Window"),
    ("5 213503982334602d", "Window"),
    ("5 +1", "Window"),
    ("5 01", "Window"),
    ("5 1.5", "Window"),
    ("5 1MS", "Window"),
    ("5 1us", "Window"),
    ("5 1mss", "Window"),
    ("5 minute", "Window"),
    ("5 1m30s", "Window"),
    // pairs: the words after a pair, and equal windows in different units
    ("1 1 1 2 1 3 1 4 1 5 1 6 1 7 1 8 1", "TooManyPairs"),
    ("1 1 1 2 1 3 1 4 1 5 1 6 1 7 1 8 9x x", "TooManyPairs"),
    ("1 1 1 2 1 3 1 4 1 5 1 6 1 7 1 8 x", "Syntax"),
    ("1 60 2 1m", "SameWindow"),
    ("1 60 2 60000ms", "SameWindow"),
    ("1 24h 2 1d", "SameWindow"),
    ("1 60 2 1s 3 60s", "SameWindow"),
    ("1 60 2x 1s", "Limit"),
    ("1 60 02 1s", "Limit"),
    ("1 60 2 0", "Window"),
    ("1 60 2 COST", "Window"),
    ("1 60 -2 1s", "Syntax"),
    // the keywords: in any case, in any order, each once, each with a value
    ("1 60 algorithm fixed", "-"),
    ("1 60 Algorithm Sliding", "-"),
    ("1 60 ALGORITHM bUcKeT", "-"),
    ("1 60 cost 1 algorithm bucket burst 2", "-"),
    ("1 60 BURST 2 COST 1 ALGORITHM BUCKET", "-"),
    ("1 60 LIMIT 5", "Syntax"),
    ("1 60 COST 1 x", "Syntax"),
    ("1 60 COST 1 cost 0", "Syntax"),
    ("1 60 BURST 1 BURST 1", "Syntax"),
    ("1 60 ALGORITHM FIXED ALGORITHM FIXED", "Syntax"),
    ("1 60 BURST", "Syntax"),
    ("1 60 ALGORITHM", "Syntax"),
    ("1 60 ALGORITHM FIXED COST", "Syntax"),
    ("1 60 COSTS 1", "Syntax"),
    ("1 60 COS 1", "Syntax"),
    // cost: digits and nothing else
    ("1 60 COST 01", "Cost"),
    ("1 60 COST one", "Cost"),
    ("1 60 COST ALGORITHM", "Cost"),
    // algorithm: one of three names
    ("1 60 ALGORITHM FIXE", "Algorithm"),
    ("1 60 ALGORITHM FIXEDD", "Algorithm"),
    ("1 60 ALGORITHM 1", "Algorithm"),
    ("1 60 ALGORITHM COST", "Algorithm"),
    // burst: for a bucket of one pair that refills within 3660 d
    ("1000000000000 60 ALGORITHM BUCKET BURST 0", "Burst"),
    ("1 60 ALGORITHM BUCKET BURST x", "Burst"),
    ("1 60 BURST 5 ALGORITHM FIXED", "BurstAlgorithm"),
    ("1 60 ALGORITHM SLIDING BURST 5", "BurstAlgorithm"),
    ("1 366d ALGORITHM BUCKET BURST 10", "-"),
    ("1 366d ALGORITHM BUCKET BURST 11", "BurstRefill"),
    ("10 366d ALGORITHM BUCKET BURST 100", "-"),
    ("10 366d ALGORITHM BUCKET BURST 101", "BurstRefill"),
    ("0 60 ALGORITHM BUCKET", "-"),
    // several errors: the first wrong word decides; combinations are checked after all words
    ("1 60 COST 0 x", "Cost"),
    ("1 60 BURST 5 x", "Syntax"),
    ("1 60 1 61 BURST 5", "BurstAlgorithm"),
    ("0 60 1 61 ALGORITHM BUCKET BURST 5", "BurstPairs"),
    ("0 60 BURST 5", "BurstAlgorithm"),
];

/// Words that cannot stand in a line.
const BINARY: &[(&[&[u8]], &str)] = &[
    (&[b"", b"60"], "Limit"),
    (&[b"5", b""], "Window"),
    (&[b"5\0", b"60"], "Limit"),
    (&[b"5 ", b"60"], "Limit"),
    (&[b" 5", b"60"], "Limit"),
    (&[b"5\n", b"60"], "Limit"),
    (&[b"5", b"60\0"], "Window"),
    (&[b"5", b"60 s"], "Window"),
    (&[b"5", b"6\x000"], "Window"),
    (&[b"\xff\xfe", b"60"], "Limit"),
    (&["5".as_bytes(), "٦٠".as_bytes()], "Window"),
    (&[b"5", b"60", b""], "Syntax"),
    (&[b"5", b"60", b"COST\0", b"1"], "Syntax"),
    (&[b"5", b"60", b"\r\n+OK\r\n", b"1"], "Syntax"),
    (&[b"5", b"60", b"%s%n", b"1"], "Syntax"),
    (&[b"5", b"60", b"COST", b""], "Cost"),
    (&[b"5", b"60", b"COST", b"1\0"], "Cost"),
    (&[b"5", b"60", b"ALGORITHM", b""], "Algorithm"),
    (&[b"5", b"60", b"ALGORITHM", b"FIXED\0"], "Algorithm"),
    (&[b"5", b"60", b"ALGORITHM", b"BUCKET", b"BURST", b""], "Burst"),
];

fn cases() -> impl Iterator<Item = (Vec<&'static [u8]>, &'static str)> {
    let lines =
        CASES.iter().map(|(line, name)| (line.split(' ').map(str::as_bytes).collect(), *name));
    lines.chain(BINARY.iter().map(|(words, name)| (words.to_vec(), *name)))
}

fn show(words: &[&[u8]]) -> String {
    words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_wrong_argument_gets_the_error_of_its_rule() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for limiter in frozen.limiters() {
            for verb in ["CHECK", "PEEK"] {
                for (words, name) in cases() {
                    let reply = limiter.send(&mut frozen.connection, verb, b"k", &words);
                    let case = format!("{verb} k {} of {}", show(&words), limiter.name());
                    match name {
                        "-" => assert!(matches!(reply, Reply::Array(_)), "{case}: {reply:?}"),
                        name => assert_eq!(reply, Reply::Error(error_text(name).into()), "{case}"),
                    }
                    frozen.connection.must("DEL k");
                }
            }
        }
    });
}

#[test]
fn words_of_100_kb_get_the_same_errors() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let long = "9".repeat(100_000);
        let cases: [(&[&str], &str); 6] = [
            (&[&long, "60"], "Limit"),
            (&["5", &long], "Window"),
            (&["5", "60", "COST", &long], "Cost"),
            (&["5", "60", "ALGORITHM", "BUCKET", "BURST", &long], "Burst"),
            (&["5", "60", "ALGORITHM", &long], "Algorithm"),
            (&["5", "60", "9", &long], "Window"),
        ];
        for limiter in frozen.limiters() {
            for (words, name) in cases {
                let reply = limiter.send(&mut frozen.connection, "CHECK", b"k", words);
                assert_eq!(reply, Reply::Error(error_text(name).into()), "{}", limiter.name());
            }
        }
        assert_eq!(frozen.connection.must("EXISTS k").integer(), 0);
    });
}

#[test]
fn too_few_words_get_the_servers_own_error() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for verb in ["CHECK", "PEEK"] {
            let command = format!("ratelimit.{}", verb.to_lowercase());
            let text = format!("ERR wrong number of arguments for '{command}' command");
            for line in ["", "k", "k 5"] {
                let reply = frozen.connection.reply_to(&format!("RATELIMIT.{verb} {line}"));
                assert_eq!(reply, Reply::Error(text.clone()), "{verb} {line}");
            }
            for words in [&[][..], &["5"]] {
                let reply = frozen.script.send(&mut frozen.connection, verb, b"k", words);
                assert_eq!(reply, Reply::Error(text.clone()), "{verb} {words:?} of the script");
            }
        }
    });
}

#[test]
fn the_script_takes_check_and_peek_in_any_case() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let mut send = |verb| frozen.script.send(&mut frozen.connection, verb, b"k", &["5", "60"]);
        assert_eq!(send("check").numbers(), [1, 5, 4, 0, 60_000]);
        assert_eq!(send("Peek").numbers(), [1, 5, 4, 0, 60_000]);
        for verb in ["", "CHECKS", "RATELIMIT.CHECK", "RESET", "\0"] {
            assert_eq!(send(verb), Reply::Error(error_text("Syntax").into()), "{verb:?}");
        }
    });
}

#[test]
fn a_call_with_an_error_leaves_the_key_as_it_was() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let limiters = frozen.limiters();
        let client = &mut frozen.connection;
        client.must("RATELIMIT.CHECK k 5 60");
        let before = (client.snapshot(b"k"), client.info("rdb_changes_since_last_save"));
        for limiter in limiters {
            for (words, _) in cases().filter(|(_, name)| *name != "-") {
                limiter.send(client, "CHECK", b"k", &words).error();
                assert_eq!(client.snapshot(b"k"), before.0, "{}", show(&words));
            }
        }
        assert_eq!(client.info("rdb_changes_since_last_save"), before.1);
    });
}

#[test]
fn arguments_are_checked_before_the_key_and_the_clock() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        frozen.connection.must("RPUSH list item");
        frozen.connection.must("SET forever 5");
        for clock in [ratelimit_harness::T0_MICROS, 1 << 60] {
            frozen.set_clock(clock);
            for limiter in frozen.limiters() {
                for key in [&b"list"[..], b"forever"] {
                    let reply =
                        limiter.send(&mut frozen.connection, "CHECK", key, &["5", "60", "x"]);
                    assert_eq!(reply, Reply::Error(error_text("Syntax").into()));
                }
            }
        }
    });
}

#[test]
fn the_clock_is_checked_before_the_key() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        frozen.connection.must("RPUSH list item");
        let latest = (1i64 << 53) - 1 - 2 * 3660 * 86_400_000_000;
        for (clock, expected) in [(latest, "WrongType"), (latest + 1, "Clock"), (1 << 60, "Clock")]
        {
            frozen.set_clock(clock);
            for limiter in frozen.limiters() {
                let reply = limiter.send(&mut frozen.connection, "CHECK", b"list", &["5", "60"]);
                assert_eq!(reply, Reply::Error(error_text(expected).into()), "{}", limiter.name());
                assert_eq!(frozen.connection.must("LLEN list").integer(), 1);
            }
        }
    });
}
