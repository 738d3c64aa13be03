//! Sentinel: after a failover, calls reach the new master without help.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratelimit_client::{
    Backend, Connection, ConnectionOptions, Error, Limiter, OnFailure, Policy, Source,
};
use ratelimit_harness::{
    catch_up, eventually, follow, is_primary, on_every_server, servers, watch, Binary, Server,
    Setup,
};

use tokio::task::JoinSet;

use crate::connection::{counted, decides_within_seconds, is_decided, Load, Names};
use crate::{run, until, LONG, YEAR};

const POLICY: Policy = Policy::bucket(100, YEAR);

/// A master, a replica and three sentinels, of which two must agree.
struct Service {
    master: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Service {
    fn start(binary: &'static Binary) -> Self {
        let master = Setup::module(binary).start();
        let replica = Setup::module(binary).start();
        follow(&mut replica.connect(), &master);
        let sentinels = watch(&master, 1);
        Self { master, replica, sentinels }
    }

    fn connection(&self) -> Connection {
        let urls = self.sentinels.iter().map(|s| format!("redis://127.0.0.1:{}", s.port()));
        Connection::sentinel(urls, "mymaster", "redis://master", ConnectionOptions::new())
            .expect("addresses")
    }

    fn limiter(&self, which: Backend) -> Limiter {
        let on_failure = OnFailure::closed_after(Duration::from_millis(200));
        let limiter = Limiter::redis(self.connection(), on_failure).backend(which);
        limiter.prefix(format!("{which:?}:")).circuit_breaker(5, Duration::from_millis(20)).build()
    }
}

/// Whether the call was allowed; `None` without an answer.
async fn check(limiter: &Limiter) -> Option<bool> {
    match limiter.check("k", &POLICY).await {
        Ok(answer) => {
            assert!(matches!(answer.source, Source::Module | Source::Script));
            Some(answer.is_allowed())
        }
        Err(Error::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn goes_on_after(outage: fn(&mut Service)) {
    on_every_server(|binary| {
        let mut service = Service::start(binary);
        run(async {
            let limiters = [service.limiter(Backend::Module), service.limiter(Backend::Script)];
            let mut allowed = [0, 0];
            for (limiter, allowed) in limiters.iter().zip(&mut allowed) {
                until("the master is found", || async { check(limiter).await.is_some() }).await;
                for _ in 0..20 {
                    check(limiter).await;
                }
                *allowed = limiter.counts().allowed;
            }
            // A failover loses what the replica does not have yet.
            catch_up(&mut service.replica.connect(), &service.master);
            outage(&mut service);
            for limiter in &limiters {
                until("the new master is found", || async { check(limiter).await.is_some() }).await;
                until("the limit is reached", || async { check(limiter).await == Some(false) })
                    .await;
                let counts = limiter.counts();
                assert!(counts.allowed <= 100, "{counts:?}");
                // Calls without an answer may have been counted.
                assert!(counts.allowed + counts.unavailable >= 100, "{counts:?}");
            }
            eventually("the replica is master", || is_primary(&service.replica));
            assert!(allowed.iter().all(|&allowed| allowed > 0), "{allowed:?}");
        });
    });
}

#[test]
fn follows_the_new_master_after_the_old_one_was_killed() {
    goes_on_after(|service| service.master.kill());
}

#[test]
fn follows_the_new_master_after_the_old_one_stopped() {
    goes_on_after(|service| service.master.pause());
}

#[test]
fn follows_the_new_master_after_the_old_one_became_its_replica() {
    goes_on_after(|service| {
        service.sentinels[0].connect().must("SENTINEL FAILOVER mymaster");
        eventually("the replica is master", || is_primary(&service.replica));
    });
}

#[test]
fn it_works_before_the_master_is_up_and_without_one_sentinel() {
    on_every_server(|binary| {
        let mut service = Service::start(binary);
        // Also outside of a runtime.
        let connection = service.connection();
        service.master.kill();
        service.sentinels[0].kill();
        run(async {
            let on_failure = OnFailure::closed_after(Duration::from_millis(200));
            let limiter = Limiter::redis(connection, on_failure);
            let limiter = limiter.circuit_breaker(5, Duration::from_millis(20)).build();
            until("the new master is found", || async { check(&limiter).await.is_some() }).await;
        });
    });
}

#[test]
fn follows_the_new_master_when_the_old_one_becomes_read_only() {
    on_every_server(|binary| {
        let service = Service::start(binary);
        run(async {
            let limiters = [service.limiter(Backend::Module), service.limiter(Backend::Script)];
            for limiter in &limiters {
                until("the master is found", || async { check(limiter).await.is_some() }).await;
            }
            // Sentinels close the connections of a master that they depose. A failover by hand does
            // not.
            let tell = |words: &str| {
                service.sentinels.iter().for_each(|sentinel| drop(sentinel.connect().must(words)));
            };
            tell("SENTINEL REMOVE mymaster");
            service.replica.connect().must("REPLICAOF NO ONE");
            follow(&mut service.master.connect(), &service.replica);
            tell(&format!("SENTINEL MONITOR mymaster 127.0.0.1 {} 2", service.replica.port()));
            for limiter in &limiters {
                until("the new master is found", || async { check(limiter).await.is_some() }).await;
            }
        });
    });
}

/// Without a circuit breaker, so that each call is sent.
fn unprotected(connection: Connection, deadline: Duration) -> Limiter {
    crate::connection::limiter(connection, Backend::Module, deadline)
}

#[test]
fn a_failover_on_command_is_followed_while_the_old_master_still_takes_writes() {
    on_every_server(|binary| {
        let service = Service::start(binary);
        run(async {
            let limiter = unprotected(service.connection(), Duration::from_millis(200));
            decides_within_seconds("the master is found", &limiter).await;
            let load = Load::start(&limiter);
            load.more(500).await;
            service.sentinels[0].connect().must("SENTINEL FAILOVER mymaster");
            eventually("the replica is master", || is_primary(&service.replica));
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert!(is_primary(&service.master), "the old one is not told for ten seconds");
            let answered = || load.results.answered.load(Relaxed);
            // From here on the new master counts each call. Eight may be between both numbers.
            let (before, counted_before) = (answered(), counted(&service.replica));
            load.more(500).await;
            let (after, counted_after) = (answered(), counted(&service.replica));
            let (answered, counted) = (after - before, counted_after - counted_before);
            assert!(answered.abs_diff(counted) <= 16, "{answered} answered, {counted} counted");
            load.end().await;
        });
    });
}

#[test]
fn the_first_check_after_an_idle_close_is_counted_once() {
    on_every_server(|binary| {
        let service = Service::start(binary);
        service.master.connect().must("CONFIG SET timeout 1");
        run(async {
            let limiter = unprotected(service.connection(), LONG);
            for round in 1..=2 {
                assert!(is_decided(&limiter).await, "{round}");
                assert_eq!(counted(&service.master), round);
                until("the master closes the idle connection", || async {
                    !service
                        .master
                        .connect()
                        .must("CLIENT LIST")
                        .text()
                        .contains("cmd=ratelimit.check")
                })
                .await;
            }
        });
    });
}

#[test]
fn names_of_sentinels_are_looked_up_again() {
    on_every_server(|binary| {
        let (old, new) = (Setup::module(binary).start(), Setup::module(binary).start());
        let names = Names::default();
        let sentinel = Setup::sentinel(&old, 1).start();
        names.set("sentinel.test", &sentinel);
        run(async {
            let options = ConnectionOptions::new().resolver(names.clone());
            let urls = ["redis://sentinel.test"];
            let connection = Connection::sentinel(urls, "mymaster", "redis://master", options);
            let limiter = unprotected(connection.expect("addresses"), Duration::from_millis(200));
            decides_within_seconds("the master", &limiter).await;
            let other = Setup::sentinel(&new, 1).start();
            names.set("sentinel.test", &other);
            drop((old, sentinel));
            decides_within_seconds("the master of the other sentinel", &limiter).await;
            assert!(counted(&new) >= 1);
        });
    });
}

/// What a planned failover does to a limiter's calls.
#[derive(Debug)]
struct Planned {
    answered: u64,
    /// Answered as allowed, and not counted by the new master.
    forgotten: u64,
    unanswered: u64,
    /// The longest time without an answer.
    gap: Duration,
}

/// Four callers make about 400 calls a second in total, until three seconds after the failover.
async fn planned(service: &Service, hand_over: impl AsyncFnOnce(&Service)) -> Planned {
    let limiter = unprotected(service.connection(), Duration::from_millis(50));
    decides_within_seconds("the master is found", &limiter).await;
    let first = counted(&service.master) - 1;
    let is_over = Arc::<AtomicBool>::default();
    let callers: JoinSet<_> =
        (0..4).map(|_| call_every_ten_ms(limiter.clone(), Arc::clone(&is_over))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    hand_over(service).await;
    until("the replica is master", || async { is_primary(&service.replica) }).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    is_over.store(true, Relaxed);
    let callers = callers.join_all().await;
    let answered = 1 + callers.iter().map(|caller| caller.answered).sum::<u64>();
    Planned {
        answered,
        forgotten: (first + answered).saturating_sub(counted(&service.replica)),
        unanswered: callers.iter().map(|caller| caller.unanswered).sum(),
        gap: callers.iter().map(|caller| caller.gap).max().unwrap_or_default(),
    }
}

async fn call_every_ten_ms(limiter: Limiter, is_over: Arc<AtomicBool>) -> Planned {
    let mut calls = Planned { answered: 0, forgotten: 0, unanswered: 0, gap: Duration::ZERO };
    let mut last = Instant::now();
    while !is_over.load(Relaxed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let is_answered = is_decided(&limiter).await;
        calls.gap = calls.gap.max(last.elapsed());
        if is_answered {
            calls.answered += 1;
            last = Instant::now();
        } else {
            calls.unanswered += 1;
        }
    }
    calls
}

fn failover(service: &Service) {
    service.sentinels[0].connect().must("SENTINEL FAILOVER mymaster");
}

#[test]
fn a_failover_on_command_forgets_about_a_second_of_calls() {
    let binary = &servers()[0];
    let service = Service::start(binary);
    let planned = run(planned(&service, async |service| failover(service)));
    println!("SENTINEL FAILOVER: {planned:?}");
    // About four seconds of calls, of which a busy machine may forget two and a half.
    assert!(planned.forgotten * 8 < planned.answered * 5, "{planned:?}");
}

#[test]
fn writes_paused_before_a_failover_on_command_lose_no_count() {
    let binary = &servers()[0];
    let service = Service::start(binary);
    let planned = run(planned(&service, async |service| {
        service.master.connect().must("CLIENT PAUSE 10000 WRITE");
        catch_up(&mut service.replica.connect(), &service.master);
        failover(service);
    }));
    println!("writes paused first: {planned:?}");
    assert_eq!(planned.forgotten, 0, "{planned:?}");
    assert!(planned.gap < Duration::from_secs(8), "{planned:?}");
}

#[test]
fn a_master_that_needs_its_only_replica_forgets_few_calls_in_a_failover() {
    let binary = &servers()[0];
    let service = Service::start(binary);
    for server in [&service.master, &service.replica] {
        server.connect().must("CONFIG SET min-replicas-to-write 1");
    }
    let planned = run(planned(&service, async |service| failover(service)));
    println!("min-replicas-to-write 1: {planned:?}");
    // The new master has no replica either, until the old one follows after ten seconds.
    assert!(planned.forgotten * 20 <= planned.answered, "{planned:?}");
    assert!(planned.gap > Duration::from_millis(2_500), "{planned:?}");
}
