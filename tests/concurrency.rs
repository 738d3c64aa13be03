//! Many connections call on one key at once: exactly the limit is allowed.

use std::thread;

use ratelimit_harness::{on_every_server, policies, Connection, Server, Setup};

const THREADS: usize = 8;
const CONNECTIONS: usize = 200;
const PIPELINE: usize = 16;
const ROUNDS: usize = 3;
const LIMIT: usize = 5_000;

#[test]
fn two_hundred_connections_are_allowed_exactly_the_limit() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        // A bucket refills one in more than an hour.
        for (key, words) in policies(&["5000 366d", "5000 366d 100000 365d"]) {
            let call = format!("RATELIMIT.CHECK {key} {words}");
            assert_eq!(allowed(&server, &call), LIMIT, "{call}");
        }
    });
}

fn allowed(server: &Server, call: &str) -> usize {
    let share = || (0..CONNECTIONS / THREADS).map(|_| server.connect()).collect::<Vec<_>>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| share()).collect();
        let threads: Vec<_> =
            threads.into_iter().map(|share| scope.spawn(|| allowed_by(share, call))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread of calls")).sum()
    })
}

/// Every connection sends its calls before the first reply is read.
fn allowed_by(mut connections: Vec<Connection>, call: &str) -> usize {
    let words: Vec<_> = call.split(' ').collect();
    let mut allowed = 0;
    for _ in 0..ROUNDS {
        for connection in &mut connections {
            (0..PIPELINE).for_each(|_| connection.send(&words));
        }
        for connection in &mut connections {
            allowed += (0..PIPELINE).filter(|_| connection.receive().allowed()).count();
        }
    }
    allowed
}
