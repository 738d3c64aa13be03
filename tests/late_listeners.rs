//! A replica or a file that is attached later misses nothing.

use ratelimit_harness::{
    catch_up, eventually, fill, follow, on_every_server, resyncs, samples_on, Connection, Frozen,
    Server, Setup, SAMPLES,
};

fn call_each_sample(client: &mut Connection) {
    for (key, words) in SAMPLES {
        assert!(client.must(&format!("RATELIMIT.CHECK {key} {words}")).allowed(), "{key}");
    }
}

/// Both have the same values and expiries, and make the same decisions from then on.
fn is_the_same(primary: &Server, replica: &Server) {
    catch_up(&mut replica.connect(), primary);
    let digest = |server: &Server| server.connect().must("DEBUG DIGEST");
    assert_eq!(digest(replica), digest(primary));
    assert_eq!(samples_on(replica), samples_on(primary));
}

#[test]
fn a_replica_attached_later_has_everything() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        fill(&mut frozen);
        let replica = Setup::test_module(binary).start();
        follow(&mut replica.connect(), &frozen.server);
        is_the_same(&frozen.server, &replica);
        call_each_sample(&mut frozen.connection);
        is_the_same(&frozen.server, &replica);
    });
}

#[test]
fn a_replica_that_returns_gets_what_it_missed() {
    on_every_server(|binary| {
        let (mut frozen, replica) = Frozen::with_replica(binary);
        let mut link = replica.connect();
        fill(&mut frozen);
        is_the_same(&frozen.server, &replica);
        // Nobody listens on port 1. The replica keeps its place in the stream.
        link.must("REPLICAOF 127.0.0.1 1");
        eventually("the primary is without its replica", || {
            frozen.connection.info("connected_slaves") == "0"
        });
        call_each_sample(&mut frozen.connection);
        let (full, partial) = resyncs(&mut frozen.connection);
        follow(&mut link, &frozen.server);
        assert_eq!(resyncs(&mut frozen.connection), (full, partial + 1));
        is_the_same(&frozen.server, &replica);
    });
}

#[test]
fn a_replica_that_crashed_and_returns_has_everything() {
    on_every_server(|binary| {
        let (mut frozen, replica) = Frozen::with_replica(binary);
        fill(&mut frozen);
        let replica = replica.restart();
        call_each_sample(&mut frozen.connection);
        follow(&mut replica.connect(), &frozen.server);
        is_the_same(&frozen.server, &replica);
    });
}

#[test]
fn an_append_only_file_switched_on_later_has_everything() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        fill(&mut frozen);
        frozen.connection.must("CONFIG SET appendfsync always");
        frozen.connection.must("CONFIG SET appendonly yes");
        eventually("the append-only file is on", || {
            let mut is = |field, value| frozen.connection.info(field) == value;
            is("aof_enabled", "1")
                && is("aof_rewrite_in_progress", "0")
                && is("aof_rewrite_scheduled", "0")
                && is("aof_last_bgrewrite_status", "ok")
        });
        call_each_sample(&mut frozen.connection);
        let expected = samples_on(&frozen.server);
        let setup = Setup::test_module(binary).with("appendonly yes");
        let server = frozen.server.restart_as(setup);
        assert_eq!(samples_on(&server), expected);
    });
}
