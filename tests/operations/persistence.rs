//! `kill -9` under each way to persist. `appendfsync always` is in `crash.rs`.

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
