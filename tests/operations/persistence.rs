//! `kill -9` and a full disk under each way to persist. `appendfsync always` is in `crash.rs`.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use ratelimit_harness::{
    catch_up, eventually, follow, on_every_server, Connection, Limiter, Server, Setup, ALGORITHMS,
};

use super::failover::{call_each, each, still_allowed, LIMIT};

#[track_caller]
fn allowed_after_a_crash(server: Server) -> [usize; ALGORITHMS.len()] {
    still_allowed(&mut server.restart().connect(), &Limiter::Module)
}

#[test]
fn calls_in_the_append_only_file_survive_kill_9() {
    on_every_server(|binary| {
        for when in ["everysec", "no"] {
            let setup = Setup::module(binary).with("appendonly yes");
            let server = setup.with(&format!("appendfsync {when}")).start();
            let mut client = server.connect();
            call_each(&mut client, 30);
            // The buffer stays full only while the disk is busy.
            eventually("the buffer is written", || client.info("aof_buffer_length") == "0");
            assert_eq!(allowed_after_a_crash(server), each(LIMIT - 30), "{when}");
        }
    });
}

#[test]
fn snapshots_forget_the_calls_after_the_last_one() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        call_each(&mut client, 30);
        client.must("SAVE");
        call_each(&mut client, 25);
        assert_eq!(allowed_after_a_crash(server), each(LIMIT - 30));
    });
}

#[test]
fn without_persistence_a_crash_forgets_everything() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        call_each(&mut server.connect(), 30);
        assert_eq!(allowed_after_a_crash(server), each(LIMIT));
    });
}

#[test]
fn a_primary_that_restarts_empty_empties_its_replicas() {
    on_every_server(|binary| {
        let mut primary = Setup::module(binary).start();
        let replica = Setup::module(binary).start();
        let mut client: Connection = replica.connect();
        follow(&mut client, &primary);
        call_each(&mut primary.connect(), 30);
        catch_up(&mut client, &primary);
        assert_eq!(client.must("DBSIZE").integer(), ALGORITHMS.len() as i64);
        primary.kill();
        primary.start_again();
        eventually("the replica is empty", || client.must("DBSIZE").integer() == 0);
    });
}

/// Makes the disk full for the append-only file: a rewrite begins a new part of it, and every write
/// to that part fails. Returns the path of that part.
#[track_caller]
fn fill_disk(server: &Server) -> PathBuf {
    let mut client = server.connect();
    let mut wait_for_rewrite = || {
        eventually("no rewrite runs", || {
            client.info("aof_rewrite_in_progress") == "0"
                && client.info("aof_rewrite_scheduled") == "0"
        });
    };
    wait_for_rewrite();
    let dir = server.dir().join("appendonlydir");
    let files = fs::read_dir(&dir).expect("the append-only file").flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let parts = names.filter_map(|name| {
        name.strip_prefix("appendonly.aof.")?.strip_suffix(".incr.aof")?.parse::<u32>().ok()
    });
    let next = parts.max().expect("a part") + 1;
    let part = dir.join(format!("appendonly.aof.{next}.incr.aof"));
    symlink("/dev/full", &part).expect("a link");
    server.connect().must("BGREWRITEAOF");
    wait_for_rewrite();
    part
}

#[test]
fn a_full_disk_ends_a_server_that_syncs_always() {
    on_every_server(|binary| {
        let setup = Setup::module(binary).with("appendonly yes").with("appendfsync always");
        let mut server = setup.start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 1h COST 3");
        let full = fill_disk(&server);
        client.must("RATELIMIT.PEEK k 5 1h");
        assert!(!client.must("RATELIMIT.CHECK k 5 1h COST 3").allowed());
        client.try_call(&["RATELIMIT.CHECK", "k", "5", "1h"]).expect_err("the server ends");
        assert!(server.log().contains("No space left on device"), "{}", server.log());
        server.kill();
        fs::remove_file(&full).and_then(|()| File::create(&full)).expect("room on the disk");
        server.start_again();
        assert_eq!(server.connect().must("RATELIMIT.PEEK k 5 1h").remaining(), 2);
    });
}

#[test]
fn a_full_disk_stops_decisions_of_a_server_that_syncs_later() {
    on_every_server(|binary| {
        for when in ["everysec", "no"] {
            let setup = Setup::module(binary).with("appendonly yes");
            let server = setup.with(&format!("appendfsync {when}")).start();
            let mut client = server.connect();
            client.must("RATELIMIT.CHECK k 5 1h");
            fill_disk(&server);
            client.must("RATELIMIT.CHECK k 5 1h");
            eventually("the write has failed", || client.info("aof_last_write_status") == "err");
            client.reply_to("RATELIMIT.CHECK k 5 1h").expect_error("MISCONF");
            client.reply_to("RATELIMIT.CHECK k 0 1h").expect_error("MISCONF");
            assert_eq!(client.must("RATELIMIT.PEEK k 5 1h").remaining(), 3, "{when}");
        }
    });
}

#[test]
fn a_full_disk_ends_a_replica_unless_configured() {
    const CALL: &str = "RATELIMIT.CHECK k 1000000 1h";
    on_every_server(|binary| {
        for ignores in [false, true] {
            let primary = Setup::module(binary).start();
            let replica = Setup::plain(binary).with("appendonly yes").start();
            let mut client = replica.connect();
            follow(&mut client, &primary);
            fill_disk(&replica);
            if ignores {
                client.must("CONFIG SET replica-ignore-disk-write-errors yes");
            }
            let mut caller = primary.connect();
            let mut call = || assert!(caller.must(CALL).allowed());
            call();
            let end = "the replica has met the full disk";
            if ignores {
                eventually(end, || client.info("aof_last_write_status") == "err");
                call();
                catch_up(&mut client, &primary);
                assert_eq!(client.must("GET k").text(), "2");
                continue;
            }
            eventually(end, || {
                call();
                client.try_call(&["PING"]).is_err()
            });
            let log = replica.log();
            assert!(log.contains("Replica was unable to write command to disk"), "{log}");
        }
    });
}
