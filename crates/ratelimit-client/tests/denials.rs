//! A remembered denial is not sent to the server again.

use std::time::Duration;

use ratelimit_client::{Backend, Call, Limiter, Policy, Source};
use ratelimit_harness::{Connection, Setup};

use crate::{limiter, on_each, until, LONG, YEAR};

/// How often the server has run a command.
fn calls(server: &mut Connection, command: &str) -> u64 {
    let info = server.must("INFO commandstats").text();
    let line =
        info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

async fn source(limiter: &Limiter, call: Call<'_>) -> (bool, Source) {
    let answer = limiter.check_call(call).await.unwrap();
    (answer.is_allowed(), answer.source)
}

#[test]
fn a_flood_of_denied_calls_does_not_reach_the_server() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let mut control = server.connect();
        for (which, command) in [(Backend::Module, "ratelimit.check"), (Backend::Script, "evalsha")]
        {
            let limiter = limiter(&server).await.backend(which).prefix(command);
            let limiter = limiter.remember_denials(9, LONG).build();
            for policy in [Policy::fixed(1, YEAR), Policy::fixed(1, YEAR).and(9, YEAR / 2)] {
                let key = format!("{policy:?}");
                assert!(limiter.check(&key, &policy).await.unwrap().is_allowed());
                let asked = calls(&mut control, command);
                let first = limiter.check(&key, &policy).await.unwrap();
                for _ in 0..1_000 {
                    let known = limiter.check(&key, &policy).await.unwrap();
                    assert_eq!(known.source, Source::KnownDenial);
                    assert_eq!(known.quota().limit, first.quota().limit);
                    assert_eq!(known.standings.len(), first.standings.len());
                    assert!(!known.is_allowed() && known.retry() <= first.retry());
                }
                assert_eq!(calls(&mut control, command), asked + 1);
            }
            assert_eq!(limiter.counts().known_denials, 2_000);
        }
    });
}

#[test]
fn a_question_without_a_known_answer_is_sent() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await.remember_denials(9, LONG).build();
        let policy = Policy::fixed(3, YEAR);
        let call = Call::new("k", &policy);
        assert_eq!(source(&limiter, call.cost(2)).await, (true, Source::Module));
        assert_eq!(source(&limiter, call.cost(2)).await, (false, Source::Module));
        assert_eq!(source(&limiter, call.cost(2)).await, (false, Source::KnownDenial));
        assert_eq!(source(&limiter, call.cost(3)).await, (false, Source::KnownDenial));
        assert_eq!(source(&limiter, call.cost(4)).await, (false, Source::Module), "never");
        assert_eq!(source(&limiter, call.cost(1)).await, (true, Source::Module));
        let raised = Policy::fixed(9, YEAR);
        assert_eq!(source(&limiter, Call::new("k", &raised)).await, (true, Source::Module));
        assert_eq!(limiter.peek_call(call).await.unwrap().source, Source::Module);
    });
}

#[test]
fn when_the_wait_is_over_the_server_is_asked_again() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await.remember_denials(9, LONG).build();
        let policy = Policy::bucket(1, Duration::from_millis(200));
        let allowed = || async { limiter.check("k", &policy).await.unwrap().is_allowed() };
        for _ in 0..4 {
            until("a call passes", allowed).await;
        }
        assert!(limiter.counts().known_denials > 0);
    });
}

#[test]
fn another_clients_reset_is_seen_late_and_its_own_at_once() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await.remember_denials(9, Duration::from_secs(2)).build();
        let policy = Policy::fixed(1, YEAR);
        let call = Call::new("k", &policy);
        assert!(source(&limiter, call).await.0 && !source(&limiter, call).await.0);
        limiter.reset("k", &policy).await.unwrap();
        assert_eq!(source(&limiter, call).await, (true, Source::Module));
        assert_eq!(source(&limiter, call).await, (false, Source::Module));
        server.connect().must("DEL k");
        assert_eq!(source(&limiter, call).await, (false, Source::KnownDenial));
        until("the reset is seen", || async { source(&limiter, call).await.0 }).await;
    });
}

#[test]
fn a_known_denial_is_looked_up_without_asking_the_server() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await.remember_denials(9, LONG).build();
        let policy = Policy::fixed(1, YEAR);
        let call = Call::new("k", &policy);
        limiter.check_call(call).await.unwrap();
        assert_eq!(limiter.known_denial(call), None, "nothing is denied yet");
        limiter.peek_call(call).await.unwrap();
        let known = limiter.known_denial(call).expect("a denied peek is remembered too");
        assert_eq!((known.is_allowed(), known.source), (false, Source::KnownDenial));
        assert_eq!(limiter.counts().known_denials, 1);
        assert_eq!(limiter.known_denial(Call::new("other", &policy)), None);
    });
}
