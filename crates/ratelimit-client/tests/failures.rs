//! A server that is shut down, killed or frozen, also under load. The deadline holds, the fallback
//! answers, every caller gets a result, and the limiter recovers when the server is back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratelimit_client::redis::AsyncConnectionConfig;
use ratelimit_client::{Call, Counts, Error, Failure, Limiter, OnFailure, Policy, Retry, Source};
use ratelimit_harness::{Server, Setup};

use crate::{manager, on_each, run, until, LONG, YEAR};

const POLICY: Policy = Policy::fixed(100, YEAR);
const DEADLINE: Duration = Duration::from_millis(100);
/// The time that a busy machine may add to the deadline.
const SLACK: Duration = Duration::from_secs(10);

type Begin = fn(&mut Server);

/// The ways in which a server goes away.
const OUTAGES: [(&str, Begin); 3] = [
    ("paused", |server| server.pause()),
    ("killed", |server| server.kill()),
    ("stopped", |server| {
        let _ = server.connect().try_call(&["SHUTDOWN", "NOSAVE"]);
        server.kill();
    }),
];

fn bring_back(server: &mut Server, outage: &str) {
    match outage {
        "paused" => server.resume(),
        _ => server.start_again(),
    }
}

/// The result of a call that the server did not decide.
async fn outcome(limiter: &Limiter, key: &str) -> Result<Source, Failure> {
    let start = Instant::now();
    let result = limiter.check(key, &POLICY).await;
    assert!(start.elapsed() < DEADLINE + SLACK, "waited {:?}", start.elapsed());
    match result {
        Ok(answer) => Ok(answer.source),
        Err(Error::Unavailable(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn in_every_outage_the_deadline_holds_and_the_fallback_answers() {
    on_each(async |binary| {
        for (outage, begin) in OUTAGES {
            let mut server = Setup::module(binary).start();
            let choices = [
                OnFailure::open_after(DEADLINE),
                OnFailure::closed_after(DEADLINE),
                OnFailure::local_after(DEADLINE, 4, 9),
            ];
            let limiters = choices.map(|on_failure| {
                let limiter = Limiter::redis(manager(server.port()), on_failure);
                limiter.circuit_breaker(3, Duration::from_millis(50)).build()
            });
            for limiter in &limiters {
                until("it connects", || async {
                    outcome(limiter, "k").await == Ok(Source::Module)
                })
                .await;
            }
            let before = limiters.each_ref().map(Limiter::counts);
            begin(&mut server);
            for (choice, limiter) in limiters.iter().enumerate() {
                for _ in 0..20 {
                    let told = outcome(limiter, "k").await;
                    let failure = match (choice, told) {
                        (0, Ok(Source::FailedOpen(failure))) => failure,
                        (1, Err(failure)) => failure,
                        (2, Ok(Source::Local(failure))) => failure,
                        _ => panic!("{outage}: {told:?}"),
                    };
                    if outage == "paused" {
                        assert_ne!(failure, Failure::Connection);
                    }
                    assert_ne!(failure, Failure::Server);
                }
            }
            for ((limiter, before), choice) in limiters.iter().zip(before).zip(0..) {
                let now = limiter.counts();
                let chosen = [now.failed_open, now.unavailable, now.local][choice];
                assert_eq!(
                    chosen - [before.failed_open, before.unavailable, before.local][choice],
                    20
                );
                assert_eq!(failures(&now) - failures(&before), 20, "each is counted");
            }
            bring_back(&mut server, outage);
            for limiter in &limiters {
                until("it goes on", || async { outcome(limiter, "k").await == Ok(Source::Module) })
                    .await;
            }
        }
    });
}

fn failures(counts: &Counts) -> u64 {
    counts.deadlines + counts.connection_failures + counts.server_failures + counts.circuit_open
}

#[test]
fn with_an_open_circuit_no_call_waits_for_the_deadline() {
    on_each(async |binary| {
        for (outage, begin) in OUTAGES {
            let mut server = Setup::module(binary).start();
            // If one of the thousand waited, the sum would show it.
            let deadline = Duration::from_secs(2);
            let limiter = Limiter::redis(manager(server.port()), OnFailure::open_after(deadline));
            let limiter = limiter.circuit_breaker(3, YEAR).build();
            let source = async || limiter.check("k", &POLICY).await.unwrap().source;
            until("it connects", || async { source().await == Source::Module }).await;
            let before = limiter.counts();
            begin(&mut server);
            // All three at the same time wait for one deadline in total.
            for source in futures_util::future::join_all([source(), source(), source()]).await {
                let failed = [Failure::Deadline, Failure::Connection].map(Source::FailedOpen);
                assert!(failed.contains(&source), "{outage}: {source:?}");
            }
            let start = Instant::now();
            for _ in 0..1_000 {
                let answer = limiter.check("k", &POLICY).await.unwrap();
                assert_eq!(answer.source, Source::FailedOpen(Failure::CircuitOpen), "{outage}");
                assert!(answer.is_allowed() && answer.quota().remaining == 100);
            }
            assert!(start.elapsed() < deadline, "{outage}: {:?}", start.elapsed());
            assert_eq!(limiter.counts().circuit_open, 1_000);
            assert_eq!(failures(&limiter.counts()) - failures(&before), 1_003);
        }
    });
}

#[test]
fn a_timeout_of_the_connection_counts_as_a_deadline() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(DEADLINE));
        let client = crate::client(server.port());
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let limiter = Limiter::redis(connection.unwrap(), OnFailure::closed_after(LONG)).build();
        server.pause();
        assert_eq!(outcome(&limiter, "k").await, Err(Failure::Deadline));
        assert_eq!(limiter.counts().deadlines, 1);
    });
}

/// The results of all callers.
#[derive(Default)]
struct Load {
    by_server: AtomicU64,
    without: AtomicU64,
    is_over: AtomicBool,
}

#[test]
fn under_load_every_call_is_answered_and_the_limit_holds() {
    on_each(async |binary| {
        for (outage, begin) in OUTAGES {
            let mut server =
                Setup::module(binary).with("appendonly yes").with("appendfsync always").start();
            let limiter = Limiter::redis(manager(server.port()), OnFailure::closed_after(DEADLINE));
            let limiter = limiter.circuit_breaker(5, Duration::from_millis(20)).build();
            let load = Arc::new(Load::default());
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..8 {
                callers.spawn(call_until_it_is_over(limiter.clone(), Arc::clone(&load)));
            }
            let more = |counter: fn(&Load) -> &AtomicU64| {
                let (load, before) = (&load, counter(&load).load(Relaxed));
                until("more calls are answered", move || async move {
                    counter(load).load(Relaxed) > before + 40
                })
            };
            more(|load| &load.by_server).await;
            begin(&mut server);
            more(|load| &load.without).await;
            bring_back(&mut server, outage);
            more(|load| &load.by_server).await;
            load.is_over.store(true, Relaxed);
            let made: u64 = callers.join_all().await.iter().sum();
            let counts = limiter.counts();
            let answered = counts.allowed + counts.denied + counts.unavailable;
            assert_eq!((answered, counts.errors), (made, 0), "{outage}: {counts:?}");
            assert!(counts.allowed <= 100, "{outage}: {counts:?}");
            assert_eq!(failures(&counts), counts.unavailable);
        }
    });
}

async fn call_until_it_is_over(limiter: Limiter, load: Arc<Load>) -> u64 {
    let mut made = 0;
    while !load.is_over.load(Relaxed) {
        made += 1;
        match outcome(&limiter, "k").await {
            Ok(_) => load.by_server.fetch_add(1, Relaxed),
            Err(_) => load.without.fetch_add(1, Relaxed),
        };
        tokio::task::yield_now().await;
    }
    made
}

/// Limiters for a number of instances, over a server that never existed.
fn alone(instances: u32, max_keys: usize) -> Vec<Limiter> {
    // A free port could be taken by another test; nothing listens on port 1.
    let nowhere = 1;
    let one = |_| {
        let on_failure = OnFailure::local_after(LONG, instances, max_keys);
        Limiter::redis(manager(nowhere), on_failure).circuit_breaker(1, YEAR).build()
    };
    (0..instances).map(one).collect()
}

#[test]
fn without_a_server_all_instances_together_allow_their_shares() {
    run(async {
        let cases = [
            (Policy::fixed(100, YEAR), 3, 99),
            (Policy::sliding(2, YEAR), 3, 3),
            (Policy::bucket(100, YEAR).burst(10), 4, 8),
            (Policy::fixed(90, YEAR).and(30, YEAR / 2), 3, 30),
            (Policy::fixed(0, YEAR), 3, 0),
        ];
        for (policy, instances, most) in cases {
            let mut passed = 0;
            for limiter in alone(instances, 9) {
                for _ in 0..120 {
                    let answer = limiter.check("k", &policy).await.unwrap();
                    assert!(matches!(answer.source, Source::Local(_)));
                    passed += u64::from(answer.is_allowed());
                }
            }
            assert_eq!(passed, most, "{policy:?} of {instances}");
        }
    });
}

#[test]
fn a_cost_above_the_share_is_unavailable_and_not_denied_forever() {
    run(async {
        let limiter = &alone(2, 1)[0];
        let call = Call::new("k", &POLICY);
        assert!(limiter.check_call(call.cost(50)).await.unwrap().is_allowed());
        assert!(matches!(
            limiter.check_call(call.cost(50)).await.unwrap().retry(),
            Retry::After(_)
        ));
        let above_its_share = limiter.check_call(call.cost(51)).await;
        assert!(matches!(above_its_share, Err(Error::Unavailable(Failure::CircuitOpen))));
        assert_eq!(limiter.check_call(call.cost(101)).await.unwrap().retry(), Retry::Never);
        let full = limiter.check("another", &POLICY).await;
        assert!(matches!(full, Err(Error::Unavailable(Failure::CircuitOpen))), "{full:?}");
        assert!(matches!(limiter.reset("k", &POLICY).await, Err(Error::Unavailable(_))));
        let other_algorithm = Policy::bucket(100, YEAR);
        assert!(
            limiter.check("k", &other_algorithm).await.unwrap().is_allowed(),
            "it was forgotten"
        );
    });
}

/// The bound of a server that flaps and keeps its data: the limit once, and the share once.
#[test]
fn a_flapping_server_adds_the_share_once_in_a_window() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let on_failure = OnFailure::local_after(DEADLINE, 1, 9);
        let limiter = Limiter::redis(manager(server.port()), on_failure);
        let limiter = limiter.circuit_breaker(1, Duration::from_millis(50)).build();
        let mut passed = 0;
        let is_back = async || limiter.peek("k", &POLICY).await.unwrap().source == Source::Module;
        for _ in 0..4 {
            until("the server decides", || async { is_back().await }).await;
            for _ in 0..60 {
                passed += u64::from(limiter.check("k", &POLICY).await.unwrap().is_allowed());
            }
            server.pause();
            for _ in 0..60 {
                passed += u64::from(limiter.check("k", &POLICY).await.unwrap().is_allowed());
            }
            server.resume();
        }
        assert!((150..=200).contains(&passed), "{passed}");
    });
}
