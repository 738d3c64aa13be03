//! Sentinels: they watch a primary and promote a replica if it is gone.

use super::{eventually, Server, Setup};

/// Starts three sentinels for the master `mymaster`, of which two must agree. Waits until they know
/// its replicas and each other.
#[track_caller]
pub fn watch(master: &Server, replicas: usize) -> Vec<Server> {
    let sentinels: Vec<_> = (0..3).map(|_| Setup::sentinel(master, 2).start()).collect();
    let knows_all = |sentinel: &Server| {
        let master = sentinel.connect().must("SENTINEL MASTER mymaster");
        master.field("num-slaves").text() == replicas.to_string()
            && master.field("num-other-sentinels").text() == "2"
    };
    eventually("the sentinels know each other", || sentinels.iter().all(knows_all));
    sentinels
}
