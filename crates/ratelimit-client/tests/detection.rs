//! The limiter finds out whether the server has the module, also when that changes.

use std::time::Instant;

use ratelimit_client::{Backend, Error, Failure, Limiter, OnFailure, Policy, Source};
use ratelimit_harness::{module, Setup};

use crate::{limiter, manager, on_each, until, LONG, YEAR};

const POLICY: Policy = Policy::fixed(100, YEAR);

async fn source(limiter: &Limiter) -> Source {
    limiter.check("k", &POLICY).await.unwrap().source
}

/// The remaining cost, by module or script.
async fn remaining(limiter: &Limiter) -> u64 {
    limiter.peek("k", &POLICY).await.unwrap().quota().remaining
}

#[test]
fn a_module_is_noticed_when_it_is_loaded_and_unloaded() {
    on_each(async |binary| {
        let server = Setup::plain(binary).start();
        let mut control = server.connect();
        let limiter = limiter(&server).await.build();
        assert_eq!(source(&limiter).await, Source::Script);
        control.must(&format!("MODULE LOAD {}", module().display()));
        until("the module is found", || async { source(&limiter).await == Source::Module }).await;
        assert_eq!(source(&limiter).await, Source::Module, "and still used");
        // Redis 8.2 crashes at the next command of a client whose last command was one of an
        // unloaded module.
        limiter.reset("another", &POLICY).await.unwrap();
        control.must("CONFIG SET ratelimit.allow-unload yes");
        control.must("MODULE UNLOAD ratelimit");
        assert_eq!(source(&limiter).await, Source::Script);
        assert_eq!(source(&limiter).await, Source::Script);
        // Both have counted under the same key.
        assert_eq!(remaining(&limiter).await, 100 - limiter.counts().allowed);
    });
}

#[test]
fn a_missing_module_is_not_tried_by_each_call() {
    on_each(async |binary| {
        let server = Setup::plain(binary).start();
        let mut control = server.connect();
        let limiter = limiter(&server).await.build();
        control.must("CONFIG RESETSTAT");
        let start = Instant::now();
        for _ in 0..50 {
            assert_eq!(source(&limiter).await, Source::Script);
        }
        let errors = control.info("errorstat_ERR");
        let unknown: u64 =
            errors.strip_prefix("count=").expect("it was asked for").parse().unwrap();
        assert!(unknown <= 1 + start.elapsed().as_secs() / 5, "{errors}");
    });
}

#[test]
fn an_error_of_the_module_does_not_make_it_missing() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        server.connect().must("SET foreign hello EX 100");
        let limiter = limiter(&server).await.build();
        let refused = limiter.check("foreign", &POLICY).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        assert_eq!(source(&limiter).await, Source::Module);
    });
}

#[test]
fn a_chosen_backend_is_kept() {
    on_each(async |binary| {
        let with = Setup::module(binary).start();
        let script = limiter(&with).await.backend(Backend::Script).build();
        assert_eq!(source(&script).await, Source::Script);
        let without = Setup::plain(binary).start();
        let module = limiter(&without).await.backend(Backend::Module).build();
        let failed = module.check("k", &POLICY).await;
        assert!(matches!(failed, Err(Error::Unavailable(Failure::Server))), "{failed:?}");
        let text = module.last_failure().unwrap();
        assert!(text.starts_with("ERR unknown command 'RATELIMIT.CHECK'"), "{text}");
        assert_eq!(module.counts().server_failures, 1);
    });
}

#[test]
fn a_server_that_forgot_the_script_gets_it_again() {
    on_each(async |binary| {
        let mut server = Setup::plain(binary).with("appendonly yes").start();
        let limiter = Limiter::redis(manager(server.port()), OnFailure::closed_after(LONG)).build();
        assert_eq!(source(&limiter).await, Source::Script);
        server.connect().must("SCRIPT FLUSH");
        assert_eq!(source(&limiter).await, Source::Script);
        assert_eq!(remaining(&limiter).await, 98);
        server.connect().must("CONFIG SET appendfsync always");
        assert_eq!(source(&limiter).await, Source::Script);
        server.kill();
        server.start_again();
        until("it connects again", || async { limiter.check("k", &POLICY).await.is_ok() }).await;
        assert_eq!(remaining(&limiter).await, 96);
    });
}

#[test]
fn a_missing_right_to_call_the_module_is_a_failure_and_leads_to_no_script() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        server.connect().must("ACL SETUSER default -ratelimit.check");
        let limiter = limiter(&server).await.build();
        let failed = limiter.check("k", &POLICY).await;
        assert!(matches!(failed, Err(Error::Unavailable(Failure::Server))), "{failed:?}");
        assert!(limiter.last_failure().unwrap().starts_with("NOPERM "));
        assert_eq!(remaining(&limiter).await, 100);
    });
}
