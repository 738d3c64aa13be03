//! What to watch: the fields that the page names exist on real servers and change as it says.

use std::fs;

use ratelimit_harness::{
    catch_up, eventually, follow, on_every_server, Connection, Reply, Server, Setup,
};

use super::page::{code_spans, table};

/// A part, such as `rejected_calls`, of a field of INFO such as
/// `cmdstat_ratelimit.check:calls=5,…`.
#[track_caller]
fn part(client: &mut Connection, field: &str, name: &str) -> i64 {
    let value = client.info(field);
    let mut parts = value.split(',').filter_map(|part| part.split_once('='));
    let found = parts.find(|(known, _)| *known == name);
    found.and_then(|(_, n)| n.parse().ok()).unwrap_or_else(|| panic!("{field} is `{value}`"))
}

fn check(client: &mut Connection) -> [i64; 4] {
    let calls = |client: &mut Connection, name| part(client, "cmdstat_ratelimit.check", name);
    [
        client.info_number("ratelimit_errors"),
        calls(client, "failed_calls"),
        calls(client, "rejected_calls"),
        calls(client, "calls"),
    ]
}

#[test]
fn errors_of_the_module_and_of_the_server_count_apart() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 60");
        assert_eq!(check(&mut client), [0, 0, 0, 1]);
        client.reply_to("RATELIMIT.CHECK k 5 sixty").error();
        assert_eq!(check(&mut client), [1, 1, 0, 2]);
        client.must("CONFIG SET maxmemory 1");
        client.reply_to("RATELIMIT.CHECK new 5 60").expect_error("OOM");
        assert_eq!(part(&mut client, "errorstat_OOM", "count"), 1);
        assert_eq!(check(&mut client), [2, 2, 0, 3]);
        client.must("CONFIG SET maxmemory 0");
        client.must("CONFIG SET min-replicas-to-write 1");
        client.reply_to("RATELIMIT.CHECK k 5 60").error();
        assert_eq!(part(&mut client, "errorstat_NOREPLICAS", "count"), 1);
        assert_eq!(check(&mut client), [2, 2, 1, 3]);
        let mut nobody = server.connect();
        client.must("ACL SETUSER nobody on nopass");
        nobody.must("AUTH nobody x");
        nobody.reply_to("RATELIMIT.CHECK k 5 60").error();
        assert_eq!(part(&mut client, "errorstat_NOPERM", "count"), 1);
        assert_eq!(check(&mut client), [2, 2, 2, 3]);
    });
}

#[test]
fn every_field_of_the_page_exists_on_the_server() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("cluster-enabled yes").start();
        let replica = Setup::module(binary).start();
        let primary = Setup::module(binary).start();
        follow(&mut replica.connect(), &primary);
        provoke_every_error(&mut primary.connect());
        let rows = table("alerts");
        assert!(rows.len() > 10, "only {} rows", rows.len());
        for row in rows {
            let text = match &*row[0] {
                "`CLUSTER INFO`" => server.connect().must("CLUSTER INFO").text(),
                section => match section.strip_suffix(" of a replica") {
                    Some(section) => info(&replica, section),
                    None => info(&primary, section),
                },
            };
            for field in code_spans(&row[1]) {
                let has_field = |line: &str| {
                    line.starts_with(&format!("{field}:"))
                        || line.split([',', ':']).any(|part| part.starts_with(&format!("{field}=")))
                };
                assert!(text.lines().any(has_field), "{}: no {field} in\n{text}", row[0]);
            }
        }
    });
}

#[track_caller]
fn info(server: &Server, section: &str) -> String {
    server.connect().must(section.trim_matches('`')).text()
}

/// The server has a counter for an error only after the first one.
fn provoke_every_error(client: &mut Connection) {
    client.must("CONFIG SET maxmemory 1");
    client.reply_to("RATELIMIT.CHECK new 5 60").error();
    client.must("CONFIG SET maxmemory 0");
    client.must("CONFIG SET min-replicas-to-write 9");
    client.reply_to("RATELIMIT.CHECK new 5 60").error();
    client.must("ACL SETUSER nobody on nopass +multi");
    client.must("CONFIG SET min-replicas-to-write 0");
    client.must("AUTH nobody x");
    client.reply_to("RATELIMIT.CHECK new 5 60").error();
}

#[test]
fn the_offsets_show_how_many_calls_a_failover_would_lose() {
    const CALLS: i64 = 100;
    on_every_server(|binary| {
        let quiet = Setup::module(binary).with("repl-ping-replica-period 3600");
        let (primary, replica) = (quiet.clone().start(), quiet.start());
        follow(&mut replica.connect(), &primary);
        let mut client = primary.connect();
        let mut behind =
            || client.info_number("master_repl_offset") - part(&mut client, "slave0", "offset");
        eventually("the replica has reported its offset", || behind() == 0);
        replica.pause();
        let call = "RATELIMIT.CHECK ratelimit:user:42:fixed 1000 60".to_owned();
        let replies = primary.connect().pipeline(&vec![call; CALLS as usize]);
        assert!(replies.iter().all(Reply::allowed));
        let bytes_per_call = behind() / CALLS;
        assert!((80..120).contains(&bytes_per_call), "{bytes_per_call}");
        replica.resume();
        catch_up(&mut replica.connect(), &primary);
        eventually("the replica has reported it again", || behind() == 0);
    });
}

#[test]
fn a_failed_snapshot_stops_decisions_unless_configured() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("save 3600 100000").start();
        let mut client = server.connect();
        // A directory in the place of the file: the server cannot replace it, not even as root.
        fs::create_dir_all(server.dir().join("dump.rdb/x")).expect("a directory");
        client.must("BGSAVE");
        eventually("the snapshot has failed", || client.info("rdb_last_bgsave_status") == "err");
        client.reply_to("RATELIMIT.CHECK k 5 60").expect_error("MISCONF");
        client.must("CONFIG SET stop-writes-on-bgsave-error no");
        assert!(client.must("RATELIMIT.CHECK k 5 60").allowed());
    });
}
