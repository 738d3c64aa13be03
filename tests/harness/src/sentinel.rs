//! Sentinels that watch a primary and put a replica in its place.

use super::{eventually, Server, Setup};

/// Three of the master `mymaster`, of which two must agree, once they know its replicas and each other.
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
