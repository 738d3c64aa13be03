//! The module, the Lua script and memory answer alike, to random calls at invented times.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use ratelimit_client::{Answer, Backend, Call, Error, Limiter, OnFailure, Policy, Retry, Source};
use ratelimit_harness::{Frozen, Random, Setup, T0_MICROS};

use crate::{connection, limiter, on_each, run, LONG, YEAR};

static MEMORY_CLOCK: AtomicI64 = AtomicI64::new(T0_MICROS);
const KEYS: [&str; 4] = ["a", "b", "c\0\r\n\u{fe}", ""];

#[test]
fn the_three_backends_answer_alike() {
    on_each(async |binary| {
        let mut frozen = Frozen::start(binary);
        MEMORY_CLOCK.store(T0_MICROS, Relaxed);
        let backends = [
            limiter(&frozen.server).await.backend(Backend::Module).prefix("module:").build(),
            limiter(&frozen.server)
                .await
                .backend(Backend::Script)
                .script_text(&Frozen::script_source())
                .prefix("script:")
                .build(),
            Limiter::memory(99).memory_clock(|| MEMORY_CLOCK.load(Relaxed)).build(),
        ];
        let mut random = Random(7);
        let mut now = T0_MICROS;
        for step in 0..3_000 {
            now += random.number(7) as i64;
            frozen.set_clock(now);
            MEMORY_CLOCK.store(now, Relaxed);
            let (policy, key) = (any_policy(&mut random), random.pick(&KEYS));
            let call = Call::new(key, &policy).cost(1 + random.number(1));
            let (what, peeks) = (random.below(9), random.one_in(3));
            let mut answers = Vec::new();
            for backend in &backends {
                answers.push(match (what, peeks) {
                    (0, _) => text(backend.reset(key, &policy).await),
                    (_, true) => text(backend.peek_call(call).await.map(unsigned)),
                    (_, false) => text(backend.check_call(call).await.map(unsigned)),
                });
            }
            let [module, script, memory] = &answers[..] else { unreachable!() };
            assert_eq!((module, script), (memory, memory), "step {step}: {call:?}");
        }
        let counts = backends.each_ref().map(Limiter::counts);
        for (counts, decided) in
            counts.iter().zip([counts[0].module, counts[1].script, counts[2].memory])
        {
            assert_eq!(counts.allowed + counts.denied, decided);
            assert!(
                counts.allowed > 300 && counts.denied > 100 && counts.errors > 100,
                "{counts:?}"
            );
        }
    });
}

/// Small numbers, so that every outcome is frequent.
fn any_policy(random: &mut Random) -> Policy {
    let limit = |random: &mut Random| random.below(9);
    let window = |random: &mut Random| {
        Duration::from_millis(random.pick(&[1, 500, 1_000, 3_000, 60_000, YEAR.as_millis() as u64]))
    };
    let (first_limit, first_window) = (limit(random), window(random));
    let policy = match random.below(3) {
        0 => Policy::fixed(first_limit, first_window),
        1 => Policy::sliding(first_limit, first_window),
        _ if random.one_in(2) => Policy::bucket(first_limit, first_window),
        _ => {
            let policy = Policy::bucket(first_limit, first_window);
            return policy.try_burst(1 + random.below(9)).unwrap_or(policy);
        }
    };
    (0..random.below(3))
        .fold(policy, |policy, _| policy.try_and(limit(random), window(random)).unwrap_or(policy))
}

/// An answer without its source.
fn unsigned(mut answer: Answer) -> Answer {
    answer.source = Source::Memory;
    answer
}

fn text<T: Debug>(result: Result<T, Error>) -> String {
    format!("{result:?}")
}

#[test]
fn an_answer_has_the_decision_and_its_source() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let policy = Policy::fixed(3, YEAR);
        let cases = [
            (limiter(&server).await.backend(Backend::Module).build(), Source::Module),
            (limiter(&server).await.backend(Backend::Script).prefix("x").build(), Source::Script),
            (Limiter::memory(9).build(), Source::Memory),
        ];
        for (limiter, source) in cases {
            let first = limiter.check("k", &policy).await.unwrap();
            assert!(first.is_allowed() && first.source == source && first.standings.is_empty());
            assert_eq!((first.quota().limit, first.quota().remaining), (3, 2));
            assert!(first.quota().reset_after > YEAR - LONG);
            let call = Call::new("k", &policy).cost(3);
            let denied = limiter.check_call(call).await.unwrap();
            assert_eq!(denied.retry(), Retry::After(denied.quota().reset_after));
            let never = limiter.check_call(call.cost(4)).await.unwrap();
            assert_eq!(never.retry(), Retry::Never);
            assert_eq!(limiter.peek("k", &policy).await.unwrap().quota().remaining, 2);
            assert!(matches!(limiter.check_call(call.cost(0)).await, Err(Error::Cost)));
            limiter.reset("k", &policy).await.unwrap();
            assert_eq!(limiter.peek("k", &policy).await.unwrap().quota().remaining, 3);
            let counts = limiter.counts();
            assert_eq!((counts.allowed, counts.denied, counts.errors), (3, 2, 1));
        }
    });
}

#[test]
fn several_pairs_each_report_their_own_numbers() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let policy = Policy::sliding(9, YEAR).and(2, YEAR / 2).and(5, YEAR / 4);
        for limiter in [limiter(&server).await.build(), Limiter::memory(9).build()] {
            let answer = limiter.check("k", &policy).await.unwrap();
            assert_eq!((answer.quota().limit, answer.quota().remaining), (2, 1));
            let windows: Vec<_> =
                answer.standings.iter().map(|w| (w.quota.limit, w.quota.remaining)).collect();
            assert_eq!(windows, [(9, 8), (2, 1), (5, 4)]);
            let denied = limiter.check_call(Call::new("k", &policy).cost(3)).await.unwrap();
            let retries: Vec<_> = denied.standings.iter().map(|window| window.retry).collect();
            assert_eq!(retries, [Retry::Now, Retry::Never, Retry::Now]);
        }
    });
}

#[test]
fn a_prefix_stands_before_a_key_and_the_algorithm_behind_it() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await.prefix("app:").suffix_by_algorithm().build();
        for policy in [Policy::fixed(3, YEAR), Policy::sliding(3, YEAR), Policy::bucket(3, YEAR)] {
            assert!(limiter.check("k", &policy).await.unwrap().is_allowed());
        }
        let keys = || {
            let mut keys = server.connect().must("KEYS *").texts();
            keys.sort();
            keys
        };
        assert_eq!(keys(), ["app:k:bucket", "app:k:fixed", "app:k:sliding"]);
        limiter.reset("k", &Policy::bucket(9, YEAR)).await.unwrap();
        assert_eq!(keys(), ["app:k:fixed", "app:k:sliding"]);
    });
}

#[test]
fn memory_needs_no_server_and_reports_when_it_is_full() {
    run(async {
        let limiter = Limiter::memory(1).build();
        let policy = Policy::bucket(1, YEAR);
        assert!(limiter.check("a", &policy).await.unwrap().is_allowed());
        let full = limiter.check("b", &policy).await.unwrap_err();
        assert_eq!(full.to_string(), "all 1 keys of the memory backend are in use");
        limiter.reset("a", &policy).await.unwrap();
        assert!(limiter.check("b", &policy).await.unwrap().is_allowed());
    });
}

#[test]
fn the_answer_is_the_same_over_resp3() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let url = format!("redis://127.0.0.1:{}/?protocol=resp3", server.port());
        let client = ratelimit_client::redis::Client::open(url).unwrap();
        let resp3 = client.get_multiplexed_async_connection().await.unwrap();
        let policy = Policy::fixed(3, YEAR).and(5, YEAR / 2);
        for which in [Backend::Module, Backend::Script] {
            let on_failure = OnFailure::closed_after(LONG);
            let over_resp3 = Limiter::redis(resp3.clone(), on_failure).backend(which).build();
            let over_resp2 =
                Limiter::redis(connection(server.port()).await, on_failure).backend(which).build();
            assert!(over_resp3.check("k", &policy).await.unwrap().is_allowed());
            let never = Call::new("k", &policy).cost(9);
            let quota = |answer: Answer| (answer.quota().limit, answer.quota().remaining);
            let answers = (over_resp3.peek_call(never).await, over_resp2.peek_call(never).await);
            assert_eq!(answers.0.map(quota).unwrap(), answers.1.map(quota).unwrap());
        }
    });
}
