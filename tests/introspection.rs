//! What the server knows about the commands, and what INFO counts.

use std::collections::BTreeSet;

use ratelimit_core::command::SYNTAX;
use ratelimit_harness::{not_applicable, on_every_server, Connection, Frozen, Reply, Setup};

/// Flags, without `module`, which not every server has.
fn flags(reply: &Reply) -> BTreeSet<String> {
    reply.texts().into_iter().filter(|flag| flag != "module").collect()
}

#[test]
fn command_info_has_the_arity_and_the_flags() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        for (command, flag) in [("ratelimit.check", "write"), ("ratelimit.peek", "readonly")] {
            let infos = client.must(&format!("COMMAND INFO {command}"));
            let info = infos.array()[0].array();
            assert_eq!(info[0].text(), command);
            assert_eq!(info[1].integer(), -4, "the arity of {command}");
            assert_eq!(flags(&info[2]), set(&["fast", flag]), "the flags of {command}");
            let positions: Vec<_> = info[3..6].iter().map(Reply::integer).collect();
            assert_eq!(positions, [1, 1, 1], "the key of {command}");
        }
    });
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn key_specs_show_that_check_writes_and_peek_reads() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        for (command, expected) in [
            ("ratelimit.check", set(&["RW", "access", "update"])),
            ("ratelimit.peek", set(&["RO", "access"])),
        ] {
            let infos = client.must(&format!("COMMAND INFO {command}"));
            let Some(specs) = infos.array()[0].array().get(8) else {
                return not_applicable(binary, "key specs", "COMMAND INFO does not have them");
            };
            let [spec] = specs.array() else { panic!("one key spec: {specs:?}") };
            assert_eq!(flags(spec.field("flags")), expected, "{command}");
        }
    });
}

#[test]
fn the_server_finds_the_key() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        for command in ["RATELIMIT.CHECK", "RATELIMIT.PEEK"] {
            let call = format!("COMMAND GETKEYS {command} the-key 5 60 9 1h COST 2");
            assert_eq!(client.must(&call).texts(), ["the-key"]);
        }
    });
}

/// The synopsis of a command, put together from COMMAND DOCS.
fn documented_syntax(client: &mut Connection, command: &str) -> Result<String, String> {
    let docs = match client.reply_to(&format!("COMMAND DOCS {command}")) {
        Reply::Error(error) => return Err(error),
        docs => docs,
    };
    let arguments = docs.array()[1].field("arguments").array();
    Ok(arguments.iter().map(argument_syntax).collect::<Vec<_>>().join(" "))
}

fn argument_syntax(argument: &Reply) -> String {
    let flags = argument.optional_field("flags").map_or(Vec::new(), Reply::texts);
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    let inner = match argument.field("type").text().as_str() {
        "oneof" => parts(argument).join(" | "),
        "block" => parts(argument).join(" "),
        "pure-token" => return argument.field("token").text(),
        _ => argument.field("name").text(),
    };
    let word = match argument.optional_field("token") {
        Some(token) => format!("{} {inner}", token.text()),
        None => inner,
    };
    match (has("optional"), has("multiple")) {
        (true, _) => format!("[{word}]"),
        (false, true) => format!("{word} [{word} ...]"),
        (false, false) => word,
    }
}

fn parts(argument: &Reply) -> Vec<String> {
    argument.field("arguments").array().iter().map(argument_syntax).collect()
}

#[test]
fn command_docs_has_the_synopsis() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        for command in ["ratelimit.check", "ratelimit.peek"] {
            match documented_syntax(&mut client, command) {
                Err(why) => not_applicable(binary, "COMMAND DOCS", &why),
                Ok(syntax) => assert_eq!(syntax, SYNTAX, "{command}"),
            }
        }
    });
}

#[test]
fn info_counts_decisions_of_check_and_errors_of_both() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let client = &mut frozen.connection;
        assert_eq!(counts(client), [0; 5]);
        let calls = [
            ("RATELIMIT.CHECK k 2 60", [1, 0, 0, 0, 0]),
            ("RATELIMIT.CHECK k 2 60", [2, 0, 0, 0, 0]),
            ("RATELIMIT.CHECK k 2 60", [2, 1, 0, 0, 0]),
            ("RATELIMIT.PEEK k 2 60", [2, 1, 0, 0, 0]),
            ("RATELIMIT.PEEK other 2 60", [2, 1, 0, 0, 0]),
            ("RATELIMIT.CHECK k 2 sixty", [2, 1, 1, 0, 0]),
            ("RATELIMIT.PEEK k 2 sixty", [2, 1, 2, 0, 0]),
            ("RATELIMIT.CHECK k 2 60 ALGORITHM BUCKET", [2, 1, 3, 0, 0]),
            ("RATELIMIT.CHECK other 0 60", [2, 2, 3, 0, 0]),
            ("RATELIMIT.CHECK other 9 60 9 1h COST 5", [3, 2, 3, 0, 0]),
        ];
        for (call, expected) in calls {
            client.reply_to(call);
            assert_eq!(counts(client), expected, "after {call}");
        }
    });
}

/// The counters of INFO, in their order.
const COUNTERS: [&str; 5] = [
    "ratelimit_allowed",
    "ratelimit_denied",
    "ratelimit_errors",
    "ratelimit_replication_failures",
    "ratelimit_caught_panics",
];

fn counts(client: &mut Connection) -> [i64; COUNTERS.len()] {
    COUNTERS.map(|counter| client.info_number(counter))
}

#[test]
fn info_has_a_section_named_ratelimit() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let info = server.connect().must("INFO ratelimit").text();
        let lines: Vec<_> = info.lines().filter(|line| !line.is_empty()).collect();
        let (title, counters) = lines.split_first().expect("a section");
        assert_eq!(*title, "# ratelimit");
        assert_eq!(counters, COUNTERS.map(|counter| format!("{counter}:0")));
    });
}
