//! What delays a check, and where that shows.

use ratelimit_harness::{eventually, on_every_server, Reply, Setup};

#[test]
fn a_long_script_delays_checks_and_then_they_get_busy() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("busy-reply-threshold 50").start();
        let (mut client, mut other) = (server.connect(), server.connect());
        client.must("RATELIMIT.CHECK k 5 1h");
        other.send(&["EVAL", "while true do end", "0"]);
        // Until the script runs, calls are decided.
        eventually("the server is busy", || {
            let reply = client.reply_to("RATELIMIT.CHECK busy 0 60");
            matches!(reply, Reply::Error(error) if error.starts_with("BUSY"))
        });
        client.reply_to("RATELIMIT.CHECK k 5 1h").error();
        client.must("SCRIPT KILL");
        other.receive().error();
        assert_eq!(client.must("RATELIMIT.PEEK k 5 1h").remaining(), 4);
    });
}

#[test]
fn the_slow_log_names_the_slow_command() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("slowlog-log-slower-than 10000").start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 60");
        client.must("DEBUG SLEEP 0.05");
        let entries = client.must("SLOWLOG GET");
        let named: Vec<_> = entries.array().iter().map(|entry| entry.array()[3].texts()).collect();
        assert!(named.contains(&vec!["DEBUG".into(), "SLEEP".into(), "0.05".into()]), "{named:?}");
    });
}
