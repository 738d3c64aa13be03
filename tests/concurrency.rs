//! Many connections at once on one key admit exactly the limit.

use std::thread;

use ratelimit_harness::{on_every_server, policies, Connection, Server, Setup};

const THREADS: usize = 8;
const CONNECTIONS: usize = 200;
const PIPELINE: usize = 16;
const ROUNDS: usize = 3;
const LIMIT: usize = 5_000;

#[test]
fn two_hundred_connections_of_pipeline_sixteen_admit_exactly_the_limit() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        // The bucket refills one in more than an hour.
        for (key, words) in policies(&["5000 366d", "5000 366d 100000 365d"]) {
            let call = format!("RATELIMIT.CHECK {key} {words}");
            assert_eq!(admitted(&server, &call), LIMIT, "{call}");
        }
    });
}

fn admitted(server: &Server, call: &str) -> usize {
    let share = || (0..CONNECTIONS / THREADS).map(|_| server.connect()).collect::<Vec<_>>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| share()).collect();
        let threads: Vec<_> =
            threads.into_iter().map(|share| scope.spawn(|| admitted_by(share, call))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread of calls")).sum()
    })
}

/// All connections have their calls under way before the first answer is read.
fn admitted_by(mut connections: Vec<Connection>, call: &str) -> usize {
    let words: Vec<_> = call.split(' ').collect();
    let mut admitted = 0;
    for _ in 0..ROUNDS {
        for connection in &mut connections {
            (0..PIPELINE).for_each(|_| connection.send(&words));
        }
        for connection in &mut connections {
            admitted += (0..PIPELINE).filter(|_| connection.receive().allowed()).count();
        }
    }
    admitted
}
