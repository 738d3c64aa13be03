//! A cluster: calls go to the node that has the key, and a slot that moves under load keeps its
//! counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use ratelimit_harness::{
    eventually, not_applicable, on_every_server, policies, Cluster, ClusterClient, Connection,
    Reply, Setup,
};

const PAIRS: [&str; 2] = ["4000 366d", "4000 366d 1000000 365d"];
const LIMIT: u64 = 4_000;
/// So many calls are allowed before the slot moves, and so many are left for after the move: the
/// callers only peek from there until the slot has moved.
const MARGIN: u64 = 500;

#[test]
fn a_slot_moved_key_by_key_under_load_keeps_its_counts() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        is_moved_under_load(&cluster, move_key_by_key);
    });
}

#[test]
fn a_slot_moved_as_a_whole_under_load_keeps_its_counts() {
    on_every_server(|binary| {
        let probe = Setup::plain(binary).start();
        if !probe.connect().knows_command("CLUSTER|MIGRATESLOTS") {
            let why = "it has no command CLUSTER MIGRATESLOTS";
            return not_applicable(binary, "the migration of a slot as a whole", why);
        }
        let cluster = Cluster::start(&Setup::module(binary));
        is_moved_under_load(&cluster, move_as_a_whole);
    });
}

#[test]
fn a_call_to_the_wrong_node_is_sent_to_the_right_one() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        let slot = cluster.slot("{k}");
        for (i, node) in cluster.nodes.iter().enumerate() {
            for command in ["RATELIMIT.CHECK", "RATELIMIT.PEEK"] {
                let reply = node.connect().reply_to(&format!("{command} {{k}} 5 1000"));
                if i == cluster.owner(slot) {
                    assert!(reply.allowed());
                    continue;
                }
                let port = cluster.nodes[cluster.owner(slot)].port();
                assert_eq!(reply.error(), format!("MOVED {slot} 127.0.0.1:{port}"));
            }
        }
        let mut client = cluster.client();
        let reply = client.call(&["RATELIMIT.PEEK", "{k}", "5", "1000"]);
        assert_eq!(reply.numbers()[..4], [1, 5, 4, 0]);
    });
}

/// A policy under load. Its key is in the slot of `{k}`; a bucket refills one in hours.
struct Limited {
    key: String,
    words: String,
    allowed: AtomicU64,
}

/// What the callers have seen so far.
struct Load {
    limits: Vec<Limited>,
    asks: AtomicU64,
    has_moved: AtomicBool,
    is_over: AtomicBool,
}

impl Load {
    fn new() -> Self {
        let limited = |(key, words)| {
            let key = format!("{{k}}:{key}");
            Limited { key, words, allowed: AtomicU64::new(0) }
        };
        Self {
            limits: policies(&PAIRS).into_iter().map(limited).collect(),
            asks: AtomicU64::new(0),
            has_moved: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    fn allowed(&self) -> Vec<u64> {
        self.limits.iter().map(|limit| limit.allowed.load(Relaxed)).collect()
    }

    fn each_reached(&self, calls: u64) -> bool {
        self.allowed().into_iter().all(|allowed| allowed >= calls)
    }
}

/// Moves the slot away while all call, lets them reach the limit, and counts.
fn is_moved_under_load(cluster: &Cluster, move_slot: impl Fn(&Cluster, u16, usize, usize, &Load)) {
    let slot = cluster.slot("{k}");
    let (from, to) = (cluster.owner(slot), (cluster.owner(slot) + 1) % 3);
    let load = Load::new();
    thread::scope(|scope| {
        for _ in 0..2 {
            let client = cluster.client();
            scope.spawn(|| call_until_it_is_over(client, &load));
        }
        // Ends the callers, whatever fails below.
        let _end = EndOfLoad(&load);
        eventually("calls are allowed", || load.each_reached(MARGIN));
        let before: u64 = load.allowed().iter().sum();
        move_slot(cluster, slot, from, to, &load);
        assert!(load.allowed().iter().sum::<u64>() > before, "no call was allowed during the move");
        load.has_moved.store(true, Relaxed);
        let left = cluster.nodes[from].connect().must(&format!("CLUSTER COUNTKEYSINSLOT {slot}"));
        assert_eq!(left.integer(), 0, "keys left behind");
        eventually("the limit is reached", || load.each_reached(LIMIT));
    });
    // The callers have ended, so every call that was under way is counted too.
    assert_eq!(load.allowed(), vec![LIMIT; load.limits.len()]);
}

struct EndOfLoad<'a>(&'a Load);

impl Drop for EndOfLoad<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Relaxed);
    }
}

fn call_until_it_is_over(mut client: ClusterClient, load: &Load) {
    while !load.is_over.load(Relaxed) {
        for Limited { key, words, allowed } in &load.limits {
            let waits = allowed.load(Relaxed) >= LIMIT - MARGIN && !load.has_moved.load(Relaxed);
            let command = if waits { "RATELIMIT.PEEK" } else { "RATELIMIT.CHECK" };
            let call = [command, key].into_iter().chain(words.split(' '));
            let asks = client.asks;
            if client.call(&call.collect::<Vec<_>>()).allowed() && !waits {
                allowed.fetch_add(1, Relaxed);
            }
            load.asks.fetch_add(client.asks - asks, Relaxed);
        }
    }
}

/// Moves a slot with SETSLOT and MIGRATE. Meanwhile the old node sends callers on by ASK.
fn move_key_by_key(cluster: &Cluster, slot: u16, from: usize, to: usize, load: &Load) {
    let mut nodes: Vec<Connection> = cluster.nodes.iter().map(|node| node.connect()).collect();
    let (from_id, to_id) = (cluster.id(from), cluster.id(to));
    nodes[to].must(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    nodes[from].must(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    let port = cluster.nodes[to].port().to_string();
    for Limited { key, .. } in &load.limits {
        let asks = load.asks.load(Relaxed);
        let migrate = ["MIGRATE", "127.0.0.1", &port, key, "0", "9000"];
        assert_eq!(nodes[from].call(&migrate), Reply::Status("OK".into()), "{key}");
        eventually("a caller is sent on by ASK", || load.asks.load(Relaxed) > asks);
    }
    for node in [to, from] {
        nodes[node].must(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
}

/// Moves a slot with Valkey's CLUSTER MIGRATESLOTS.
fn move_as_a_whole(cluster: &Cluster, slot: u16, from: usize, to: usize, _: &Load) {
    let mut source = cluster.nodes[from].connect();
    let to_id = cluster.id(to);
    source.must(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {to_id}"));
    eventually("the slot has moved", || {
        let jobs = source.must("CLUSTER GETSLOTMIGRATIONS");
        match jobs.array()[0].field("state").text().as_str() {
            "success" => true,
            state @ ("failed" | "cancelled") => panic!("the migration {state}: {jobs:?}"),
            _ => false,
        }
    });
}
