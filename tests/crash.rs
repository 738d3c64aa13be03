//! `kill -9` with `appendfsync always`: nothing that was acknowledged is admitted again.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::thread;

use ratelimit_harness::{eventually, on_every_server, policies, Connection, Reply, Server, Setup};

const CLIENTS: i64 = 8;
const LIMIT: i64 = 6_000;
/// As many are admitted for certain before the crash.
const BEFORE: i64 = 1_000;

#[test]
fn a_crash_admits_nobody_twice() {
    on_every_server(|binary| {
        // A bucket refills one in more than an hour.
        for (key, words) in policies(&["6000 366d"]) {
            let call = format!("RATELIMIT.CHECK {key} {words}");
            let setup = Setup::module(binary).with("appendonly yes").with("appendfsync always");
            let mut server = setup.start();
            let acknowledged = AtomicI64::new(0);
            thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    let client = server.connect();
                    scope.spawn(|| call_until_the_end(client, &call, &acknowledged));
                }
                eventually("calls are admitted", || acknowledged.load(Relaxed) >= BEFORE);
                server.kill();
            });
            let before = acknowledged.into_inner();
            let after = admitted_after(server.restart(), &call);
            // Each client may have had one call under way, admitted and written down, that was
            // never answered.
            let lost = LIMIT - before - after;
            assert!(
                (0..=CLIENTS).contains(&lost),
                "{key}: {before} before, {after} after the crash"
            );
        }
    });
}

fn call_until_the_end(mut client: Connection, call: &str, acknowledged: &AtomicI64) {
    let words: Vec<_> = call.split(' ').collect();
    while let Ok(reply) = client.try_call(&words) {
        assert!(reply.allowed(), "the limit was reached before the crash");
        acknowledged.fetch_add(1, Relaxed);
    }
}

fn admitted_after(server: Server, call: &str) -> i64 {
    let mut client = server.connect();
    let calls = vec![call; 100];
    let mut admitted = 0;
    loop {
        let replies = client.pipeline(&calls);
        let allowed = replies.iter().filter(|reply: &&Reply| reply.allowed()).count();
        admitted += allowed as i64;
        if allowed < calls.len() {
            return admitted;
        }
    }
}
