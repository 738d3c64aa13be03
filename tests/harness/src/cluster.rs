//! A cluster of three primaries, and a client that follows its redirections.

use std::collections::HashMap;

use super::{catch_up, eventually, Connection, Reply, Server, Setup};

pub const SLOTS: u16 = 16_384;

pub struct Cluster {
    /// The three nodes that start as primaries.
    pub nodes: Vec<Server>,
    /// None, or one replica for each of the nodes, in the same order.
    pub replicas: Vec<Server>,
}

impl Cluster {
    /// Starts three nodes. Each has a third of the slots.
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        Self::start_nodes(&setup.clone().with("cluster-node-timeout 15000"))
    }

    /// The same, with a replica for each node. It takes over within seconds when its node is gone.
    #[track_caller]
    pub fn start_with_replicas(setup: &Setup) -> Self {
        Self::start_with_replicas_as(setup, setup)
    }

    /// The same, with replicas of another setup.
    #[track_caller]
    pub fn start_with_replicas_as(primary: &Setup, replica: &Setup) -> Self {
        const TIMEOUT: &str = "cluster-node-timeout 2000";
        let mut cluster = Self::start_nodes(&primary.clone().with(TIMEOUT));
        for i in 0..3 {
            let replica = replica.clone().with(TIMEOUT).with("cluster-enabled yes").start();
            let mut connection = replica.connect();
            connection.must(&format!("CLUSTER MEET 127.0.0.1 {}", cluster.nodes[i].port()));
            let replicate = format!("CLUSTER REPLICATE {}", cluster.id(i));
            eventually("the replica knows its primary", || {
                matches!(connection.reply_to(&replicate), Reply::Status(_))
            });
            catch_up(&mut connection, &cluster.nodes[i]);
            cluster.replicas.push(replica);
        }
        cluster.wait_until_known(6);
        // At first a node knows a replica of another node without its primary.
        let knows_replicas = |node: &Server| {
            let nodes = node.connect().must("CLUSTER NODES").text();
            nodes.matches("slave ").count() == 3 && !nodes.contains("slave - ")
        };
        eventually("the cluster knows the replicas", || {
            cluster.nodes.iter().chain(&cluster.replicas).all(knows_replicas)
        });
        cluster
    }

    fn start_nodes(setup: &Setup) -> Self {
        let setup = setup.clone().with("cluster-enabled yes");
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
        let cluster = Self { nodes, replicas: Vec::new() };
        cluster.wait_until_known(3);
        cluster
    }

    /// Waits until every node knows so many nodes and the owner of every slot.
    fn wait_until_known(&self, known_nodes: usize) {
        let nodes = self.nodes.iter().chain(&self.replicas);
        let is_known = format!("cluster_known_nodes:{known_nodes}\r");
        eventually("the cluster agrees", || {
            nodes.clone().all(|node| sees_all_slots(node, &is_known))
        });
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot(&self, key: &str) -> u16 {
        let slot = self.nodes[0].connect().must(&format!("CLUSTER KEYSLOT {key}")).integer();
        u16::try_from(slot).expect("a slot")
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
        ClusterClient { port, nodes: HashMap::new(), asks: 0, moves: 0 }
    }
}

fn sees_all_slots(node: &Server, is_known: &str) -> bool {
    let info = node.connect().must("CLUSTER INFO").text();
    ["cluster_state:ok", "cluster_slots_ok:16384", is_known].iter().all(|line| info.contains(line))
}

pub struct ClusterClient {
    /// The node that gets each call first.
    port: u16,
    nodes: HashMap<u16, Connection>,
    /// The number of ASK replies, which redirect one call.
    pub asks: u64,
    /// The number of MOVED replies, which redirect for good.
    pub moves: u64,
}

impl ClusterClient {
    #[track_caller]
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        let mut reply = self.node(self.port).call(words);
        while let Some((ask, port)) = redirection(&reply) {
            if ask {
                self.asks += 1;
                self.node(port).must("ASKING");
            } else {
                self.moves += 1;
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

/// Whether a redirection is for one call only (ASK), and the port that it names.
fn redirection(reply: &Reply) -> Option<(bool, u16)> {
    let Reply::Error(text) = reply else { return None };
    let mut words = text.split(' ');
    let kind = words.next().filter(|kind| ["ASK", "MOVED"].contains(kind))?;
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    Some((kind == "ASK", port.parse().ok()?))
}
