//! A cluster of three primaries, and a client that follows its redirections.

use std::collections::HashMap;

use super::{eventually, Connection, Reply, Server, Setup};

pub const SLOTS: u16 = 16_384;

pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Each node has a third of the slots.
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        let setup = setup.clone().with("cluster-enabled yes").with("cluster-node-timeout 15000");
        let nodes: Vec<_> = (0..3).map(|_| setup.clone().start()).collect();
        for (i, node) in (0u16..).zip(&nodes) {
            let mut connection = node.connect();
            let (first, end) = (SLOTS / 3 * i, if i == 2 { SLOTS } else { SLOTS / 3 * (i + 1) });
            connection.must(&format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1));
            connection.must(&format!("CLUSTER SET-CONFIG-EPOCH {}", i + 1));
        }
        for node in &nodes[1..] {
            node.connect().must(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port()));
        }
        let cluster = Self { nodes };
        eventually("the cluster agrees", || cluster.nodes.iter().all(sees_all_slots));
        cluster
    }

    /// The number of the node that serves a slot.
    pub fn owner(&self, slot: u16) -> usize {
        (usize::from(slot) / usize::from(SLOTS / 3)).min(2)
    }

    pub fn id(&self, node: usize) -> String {
        self.nodes[node].connect().must("CLUSTER MYID").text()
    }

    pub fn client(&self) -> ClusterClient {
        let port = self.nodes[0].port();
        ClusterClient { port, nodes: HashMap::new(), asked: 0, moved: 0 }
    }
}

fn sees_all_slots(node: &Server) -> bool {
    let info = node.connect().must("CLUSTER INFO").text();
    ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
        .iter()
        .all(|line| info.contains(line))
}

pub struct ClusterClient {
    /// Of the node that is asked first.
    port: u16,
    nodes: HashMap<u16, Connection>,
    /// How often it was sent on for one call.
    pub asked: u64,
    /// How often it was sent on for good.
    pub moved: u64,
}

impl ClusterClient {
    #[track_caller]
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        let mut reply = self.node(self.port).call(words);
        while let Some((ask, port)) = redirection(&reply) {
            if ask {
                self.asked += 1;
                self.node(port).must("ASKING");
            } else {
                self.moved += 1;
                self.port = port;
            }
            reply = self.node(port).call(words);
        }
        reply
    }

    fn node(&mut self, port: u16) -> &mut Connection {
        let open = || Connection::open(port).expect("the node accepts a connection");
        self.nodes.entry(port).or_insert_with(open)
    }
}

/// Whether it is for one call only, and the port to go to.
fn redirection(reply: &Reply) -> Option<(bool, u16)> {
    let Reply::Error(text) = reply else { return None };
    let mut words = text.split(' ');
    let kind = words.next().filter(|kind| ["ASK", "MOVED"].contains(kind))?;
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    Some((kind == "ASK", port.parse().ok()?))
}
