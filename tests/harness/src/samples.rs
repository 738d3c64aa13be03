//! Sample keys in every form of stored state, and the next decisions on them.

use super::connection::Snapshot;
use super::{Connection, Frozen, Reply, Server, ALGORITHMS, T0_MICROS};

/// A key of each form, and the words of the calls on it.
pub const SAMPLES: [(&str, &str); 8] = [
    ("fixed", "9 1000"),
    ("fixed-pairs", "9 1000 99 1h"),
    ("fixed-eight", "9 1 9 2 9 3 9 4 9 5 9 6 9 7 9 8"),
    ("sliding", "9 3 ALGORITHM SLIDING"),
    ("sliding-pairs", "9 3 99 1h ALGORITHM SLIDING"),
    ("bucket", "7 11 ALGORITHM BUCKET"),
    ("bucket-pairs", "7 11 99 1h ALGORITHM BUCKET"),
    ("bucket-burst", "7 11s ALGORITHM BUCKET BURST 20"),
];

/// A key, and the reply to a PEEK of it.
pub type Decision = (&'static str, Reply);

/// The time at the end of [`fill`].
const FILLED_MICROS: i64 = T0_MICROS + 4_000_321;

/// Makes the samples: some calls on each, all allowed, over some seconds.
#[track_caller]
pub fn fill(frozen: &mut Frozen) {
    for algorithm in ALGORITHMS.map(str::to_lowercase) {
        assert!(SAMPLES.iter().any(|(key, _)| key.starts_with(&algorithm)), "no {algorithm}");
    }
    for step in [1, 2_000_123, 4_000_321] {
        frozen.set_clock(T0_MICROS + step);
        for (key, words) in SAMPLES {
            let call = format!("RATELIMIT.CHECK {key} {words} COST 2");
            assert!(frozen.connection.must(&call).allowed(), "{call} at {step}");
        }
    }
}

/// What a server with the test module would decide on each sample, for small and large costs, at
/// the end of [`fill`] and at two later moments. Each decision has the name of its key.
#[track_caller]
pub fn next_decisions(server: &Server) -> Vec<Decision> {
    let mut client = server.connect();
    let mut decisions = Vec::new();
    for later in [0, 1_234_567, 5_000_001] {
        client.must(&format!("RATELIMIT.TEST CLOCK {}", FILLED_MICROS + later));
        for (key, words) in SAMPLES {
            for cost in [1, 3, 4, 7, 20] {
                let reply = client.must(&format!("RATELIMIT.PEEK {key} {words} COST {cost}"));
                decisions.push((key, reply));
            }
        }
    }
    client.must(&format!("RATELIMIT.TEST CLOCK {FILLED_MICROS}"));
    decisions
}

/// The value and the expiry of each sample, and the next decisions on them, to compare two servers.
#[track_caller]
pub fn samples_on(server: &Server) -> (Vec<Snapshot>, Vec<Decision>) {
    (snapshots(&mut server.connect()), next_decisions(server))
}

/// The value and the expiry of each sample.
#[track_caller]
pub fn snapshots(client: &mut Connection) -> Vec<Snapshot> {
    let snapshots: Vec<_> =
        SAMPLES.iter().map(|(key, _)| client.snapshot(key.as_bytes())).collect();
    assert!(snapshots.iter().all(|(dump, _)| *dump != Reply::Nil), "a sample is missing");
    snapshots
}
