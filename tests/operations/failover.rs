//! A primary and its replica: what a failover keeps, and what it loses.

use ratelimit_harness::{
    catch_up, cut_off, eventually, follow, is_primary, on_every_server, watch, Binary, Connection,
    Frozen, Limiter, Reply, Server, Setup, ALGORITHMS, T0_MICROS,
};

pub const LIMIT: usize = 100;

/// The words of a policy whose window is a year; a bucket refills one in days.
fn words(algorithm: &str) -> String {
    format!("100 366d ALGORITHM {algorithm}")
}

/// The same number for each algorithm.
pub const fn each(calls: usize) -> [usize; ALGORITHMS.len()] {
    [calls; ALGORITHMS.len()]
}

/// Sends so many calls on the key of each algorithm. All must be allowed.
#[track_caller]
pub fn call_each(client: &mut Connection, calls: usize) {
    for algorithm in ALGORITHMS {
        let call = format!("RATELIMIT.CHECK {{k}}:{algorithm} {}", words(algorithm));
        assert!(client.pipeline(&vec![call; calls]).iter().all(Reply::allowed), "{algorithm}");
    }
}

/// How many more calls each algorithm allows until it denies one.
#[track_caller]
pub fn still_allowed(client: &mut Connection, limiter: &Limiter) -> [usize; ALGORITHMS.len()] {
    ALGORITHMS.map(|algorithm| {
        let (key, words) = (format!("{{k}}:{algorithm}"), words(algorithm));
        let words: Vec<_> = words.split(' ').collect();
        let calls = vec![limiter.call("CHECK", key.as_bytes(), &words); 2 * LIMIT];
        let allowed: Vec<_> =
            client.pipeline_calls(&calls).iter().map(|reply| reply.allowed()).collect();
        assert!(allowed.is_sorted_by(|a, b| a >= b), "{key}: allowed after a denial");
        allowed.iter().filter(|&&allowed| allowed).count()
    })
}

struct Pair {
    primary: Server,
    replica: Server,
}

impl Pair {
    fn start(binary: &'static Binary) -> Self {
        Self::start_as(Setup::module(binary), Setup::module(binary))
    }

    fn start_as(primary: Setup, replica: Setup) -> Self {
        let pair = Self { primary: primary.start(), replica: replica.start() };
        follow(&mut pair.replica.connect(), &pair.primary);
        pair
    }

    fn catch_up(&self) {
        catch_up(&mut self.replica.connect(), &self.primary);
    }
}

#[test]
fn after_a_failover_to_an_up_to_date_replica_the_count_goes_on() {
    on_every_server(|binary| {
        let mut pair = Pair::start(binary);
        let _sentinels = watch(&pair.primary, 1);
        call_each(&mut pair.primary.connect(), 30);
        pair.catch_up();
        pair.primary.kill();
        eventually("the replica is promoted", || is_primary(&pair.replica));
        assert_eq!(still_allowed(&mut pair.replica.connect(), &Limiter::Module), each(LIMIT - 30));
    });
}

#[test]
fn a_replica_with_set_renamed_lives_and_has_no_counts() {
    on_every_server(|binary| {
        for rename in ["rename-command SET \"\"", "rename-command SET foo"] {
            let pair = Pair::start_as(Setup::module(binary), Setup::plain(binary).with(rename));
            call_each(&mut pair.primary.connect(), 30);
            pair.catch_up();
            let mut replica = pair.replica.connect();
            assert_eq!(replica.must("DBSIZE").integer(), 0, "{rename}");
            let calls = 30 * ALGORITHMS.len() as i64;
            assert_eq!(replica.info_number("unexpected_error_replies"), calls, "{rename}");
            assert_eq!(pair.primary.connect().info("ratelimit_replication_failures"), "0");
        }
    });
}

#[test]
fn after_a_failover_the_script_goes_on_without_the_module() {
    on_every_server(|binary| {
        let mut pair = Pair::start_as(Setup::module(binary), Setup::plain(binary));
        let _sentinels = watch(&pair.primary, 1);
        call_each(&mut pair.primary.connect(), 30);
        pair.catch_up();
        pair.primary.kill();
        eventually("the replica is promoted", || is_primary(&pair.replica));
        let mut client = pair.replica.connect();
        let call = "RATELIMIT.CHECK {k}:FIXED 100 366d";
        client.reply_to(call).expect_error("ERR unknown command");
        let script = Limiter::script(&mut client);
        assert_eq!(still_allowed(&mut client, &script), each(LIMIT - 30));
    });
}

#[test]
fn a_failover_allows_again_only_unreplicated_calls() {
    on_every_server(|binary| {
        let mut pair = Pair::start(binary);
        let _sentinels = watch(&pair.primary, 1);
        let mut client = pair.primary.connect();
        let (replicated, lost) = (30, 25);
        call_each(&mut client, replicated);
        cut_off(&pair.replica, &pair.primary);
        call_each(&mut client, lost);
        pair.primary.kill();
        pair.replica.resume();
        eventually("the replica is promoted", || is_primary(&pair.replica));
        let after = still_allowed(&mut pair.replica.connect(), &Limiter::Module);
        assert_eq!(after.map(|after| replicated + lost + after), each(LIMIT + lost));
    });
}

#[test]
fn wait_shows_replication_and_takes_no_call_back() {
    on_every_server(|binary| {
        let pair = Pair::start(binary);
        let mut client = pair.primary.connect();
        call_each(&mut client, 30);
        assert_eq!(client.must("WAIT 1 0").integer(), 1);
        let call = "RATELIMIT.PEEK {k}:FIXED 100 366d";
        assert_eq!(pair.replica.connect().must(call).remaining(), 70);
        cut_off(&pair.replica, &pair.primary);
        call_each(&mut client, 1);
        assert_eq!(client.must("WAIT 1 50").integer(), 0);
        assert_eq!(still_allowed(&mut client, &Limiter::Module), each(LIMIT - 31));
    });
}

#[test]
fn a_primary_with_silent_replicas_decides_nothing() {
    on_every_server(|binary| {
        let setup = Setup::module(binary);
        let strict = setup.clone().with("min-replicas-to-write 1").with("min-replicas-max-lag 1");
        let pair = Pair::start_as(strict, setup);
        let mut client = pair.primary.connect();
        let mut decides = || match client.reply_to("RATELIMIT.CHECK k 0 60") {
            Reply::Error(error) => !error.starts_with("NOREPLICAS"),
            reply => !reply.allowed(),
        };
        eventually("the primary has a good replica", &mut decides);
        pair.replica.pause();
        eventually("the primary is without its replica", || !decides());
        let mut reader = pair.primary.connect();
        assert!(reader.must("RATELIMIT.PEEK k 5 60").allowed());
        pair.replica.resume();
        eventually("the replica is back", &mut decides);
    });
}

#[test]
fn two_primaries_allow_the_limit_each() {
    on_every_server(|binary| {
        let pair = Pair::start(binary);
        let (mut old, mut new) = (pair.primary.connect(), pair.replica.connect());
        call_each(&mut old, 30);
        pair.catch_up();
        new.must("REPLICAOF NO ONE");
        assert_eq!(still_allowed(&mut old, &Limiter::Module), each(LIMIT - 30));
        call_each(&mut new, 10);
        // The old primary comes back as a replica. The calls that it allowed meanwhile are lost.
        follow(&mut old, &pair.replica);
        assert_eq!(old.must("DEBUG DIGEST"), new.must("DEBUG DIGEST"));
        assert_eq!(still_allowed(&mut new, &Limiter::Module), each(LIMIT - 40));
    });
}

#[test]
fn a_peek_on_a_replica_is_behind_by_the_lag() {
    on_every_server(|binary| {
        let pair = Pair::start(binary);
        let (mut primary, mut replica) = (pair.primary.connect(), pair.replica.connect());
        call_each(&mut primary, 30);
        pair.catch_up();
        // Nobody listens on port 1, so the replica stands still.
        replica.must("REPLICAOF 127.0.0.1 1");
        call_each(&mut primary, 30);
        let mut remaining = || replica.must("RATELIMIT.PEEK {k}:FIXED 100 366d").remaining();
        assert_eq!(remaining(), 70);
        replica.must(&format!("REPLICAOF 127.0.0.1 {}", pair.primary.port()));
        pair.catch_up();
        let mut replica = pair.replica.connect();
        assert_eq!(replica.must("RATELIMIT.PEEK {k}:FIXED 100 366d").remaining(), 40);
    });
}

#[test]
fn another_clock_of_a_new_primary_shifts_every_wait() {
    on_every_server(|binary| {
        let (mut frozen, replica) = Frozen::with_replica(binary);
        let mut client = replica.connect();
        let use_up =
            |algorithm| format!("RATELIMIT.CHECK {algorithm} 6 60 ALGORITHM {algorithm} COST 6");
        let waits = ALGORITHMS.map(|algorithm| {
            let call = use_up(algorithm);
            assert!(frozen.connection.must(&call).allowed());
            frozen.connection.must(&call).retry_after_ms()
        });
        catch_up(&mut client, &frozen.server);
        client.must("REPLICAOF NO ONE");
        for ahead_ms in [-10_000, 0, 10_000] {
            client.must(&format!("RATELIMIT.TEST CLOCK {}", T0_MICROS + ahead_ms * 1000));
            for (algorithm, wait_ms) in ALGORITHMS.into_iter().zip(waits) {
                let reply = client.must(&use_up(algorithm)).numbers();
                assert_eq!((reply[0], reply[3]), (0, wait_ms - ahead_ms), "{algorithm} {ahead_ms}");
            }
        }
    });
}
