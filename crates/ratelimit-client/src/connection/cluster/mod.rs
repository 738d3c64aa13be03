//! A cluster: each command goes to the node of its first key, and redirections are followed.

mod map;
mod slots;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, BoxFuture, FutureExt, Shared};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, ServerError,
    ServerErrorKind, Value,
};

use super::address::{self, Address};
use super::backoff;
use super::gather::gather;
use super::renewed::{Renewed, Unreplied};
use super::request::{is_of_the_server, Asking, Command, Request};
use super::ConnectionOptions;
use crate::sync::lock;
use map::{Map, Name};
use slots::SLOTS;

/// A command is sent to at most so many nodes, one after the other. Each but the last has answered
/// that it did not run the command.
const MAX_HOPS: u32 = 16;
/// The slots are asked for at most so often.
const MIN_BETWEEN: Duration = Duration::from_millis(100);
/// The slots are asked for from so many known nodes, and from so many of the first addresses.
const MAX_ASKED: usize = 3;
/// The owner of a slot that no node is known to have.
const NO_NODE: u16 = u16::MAX;

/// A cluster. All clones share the connections.
#[derive(Clone)]
pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// The nodes that the caller named.
    seeds: Vec<Node>,
    /// The login and the kind of address of all nodes.
    like: ConnectionInfo,
    options: Arc<ConnectionOptions>,
    state: Mutex<State>,
    /// Spreads what any node can answer.
    turn: AtomicUsize,
}

#[derive(Clone)]
struct Node {
    name: Name,
    connection: Renewed,
}

struct State {
    nodes: Vec<Node>,
    /// By slot: an index of `nodes`, or `NO_NODE`.
    owners: Vec<u16>,
    refresh: Option<Refresh>,
}

/// The latest question for the slots.
struct Refresh {
    done: Shared<BoxFuture<'static, Outcome>>,
    failures: u32,
    jitter: f64,
}

#[derive(Clone)]
struct Outcome {
    result: RedisResult<()>,
    at: Instant,
}

/// The node that gets a command next.
struct Hop {
    node: Node,
    /// The node runs the command although its slot is only about to move there.
    is_asking: bool,
}

/// Why a node did not run a command.
enum Redirection {
    /// The slot belongs to another node.
    Moved(u16, Name),
    /// This one command belongs to another node, because the slot is about to move there.
    Ask(Name),
    /// No node can run the command at the moment.
    Wait,
}

impl Cluster {
    pub(super) fn new(nodes: Vec<ConnectionInfo>, options: ConnectionOptions) -> RedisResult<Self> {
        let options = Arc::new(options);
        let no_node = || RedisError::from((ErrorKind::InvalidClientConfig, "no node is given"));
        let like = nodes.first().cloned().ok_or_else(no_node)?;
        let seeds = nodes.into_iter().map(|info| seed(info, &options)).collect::<RedisResult<_>>();
        let owners = vec![NO_NODE; usize::from(SLOTS)];
        let state = State { nodes: Vec::new(), owners, refresh: None };
        let state = Mutex::new(state);
        Ok(Self(Arc::new(Inner { seeds: seeds?, like, options, state, turn: AtomicUsize::new(0) })))
    }

    /// Sends a command until a node has run it, or may have run it.
    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let slot = slots::slot(command);
        let mut hop = Hop::to(self.node(slot).await?);
        let mut hops = 0;
        loop {
            hops += 1;
            match hop.send(command).await {
                Ok(reply) => match self.redirection(&reply, &hop.node) {
                    Some(redirection) if hops < MAX_HOPS => {
                        hop = self.follow(redirection, slot, hops).await?;
                    }
                    _ => return Ok(reply),
                },
                Err(Unreplied::Unsent(error)) if hops < MAX_HOPS => {
                    hop = Hop::to(self.successor(slot, &hop.node, error).await?);
                }
                Err(unreplied) => {
                    drop(self.refresh());
                    return Err(unreplied.into());
                }
            }
        }
    }

    /// Sends the commands at the same time, each to its node.
    pub(super) async fn send_each(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        if pipeline.is_transaction() {
            let text = "a cluster connection sends no transactions";
            return Err((ErrorKind::InvalidClientConfig, text).into());
        }
        let replies = join_all(pipeline.cmd_iter().map(|command| self.send(command))).await;
        replies.into_iter().collect()
    }

    /// The node of a slot. Without a slot: any node.
    async fn node(&self, slot: Option<u16>) -> RedisResult<Node> {
        if let Some(node) = self.known_node(slot) {
            return Ok(node);
        }
        self.refresh().await.result?;
        let no_node = || RedisError::from((ErrorKind::Io, "no node of the cluster has the slot"));
        self.known_node(slot).ok_or_else(no_node)
    }

    fn known_node(&self, slot: Option<u16>) -> Option<Node> {
        let state = lock(&self.0.state);
        let index = match slot {
            Some(slot) => usize::from(state.owners[usize::from(slot)]),
            None => self.0.turn.fetch_add(1, Relaxed) % state.nodes.len().max(1),
        };
        state.nodes.get(index).cloned()
    }

    /// The node that has the slot now, after a node could not be reached. `Err`: it is the same one.
    async fn successor(
        &self,
        slot: Option<u16>,
        lost: &Node,
        error: RedisError,
    ) -> RedisResult<Node> {
        self.refresh().await.result.map_err(|_| error.clone())?;
        match self.known_node(slot) {
            Some(node) if node.name != lost.name => Ok(node),
            _ => Err(error),
        }
    }

    fn redirection(&self, reply: &Value, node: &Node) -> Option<Redirection> {
        let error = Command::error(reply)?;
        let redirection = Redirection::from(error, &node.name);
        let is_lost = redirection.is_none() && is_of_the_server(&error.clone().into());
        if is_lost || !matches!(redirection, None | Some(Redirection::Ask(_))) {
            drop(self.refresh());
        }
        redirection
    }

    async fn follow(
        &self,
        redirection: Redirection,
        slot: Option<u16>,
        hops: u32,
    ) -> RedisResult<Hop> {
        Ok(match redirection {
            Redirection::Moved(slot, name) => Hop::to(self.note_move(slot, &name)),
            Redirection::Ask(name) => Hop { node: self.node_at(&name), is_asking: true },
            Redirection::Wait => {
                tokio::time::sleep(Duration::from_millis(10 << hops.min(4))).await;
                Hop::to(self.node(slot).await?)
            }
        })
    }

    fn note_move(&self, slot: u16, name: &Name) -> Node {
        let node = self.node_at(name);
        let mut state = lock(&self.0.state);
        let index = state.index_of(&node);
        if let Some(owner) = state.owners.get_mut(usize::from(slot)) {
            *owner = index;
        }
        node
    }

    /// The node of this name, which may be a new one.
    fn node_at(&self, name: &Name) -> Node {
        let state = lock(&self.0.state);
        let known = state.nodes.iter().chain(&self.0.seeds).find(|node| node.name == *name);
        known.cloned().unwrap_or_else(|| self.0.new_node(name))
    }

    /// Asks for the slots, unless that was done a moment ago. The question goes on if nobody awaits it.
    fn refresh(&self) -> Shared<BoxFuture<'static, Outcome>> {
        let mut state = lock(&self.0.state);
        let failures = match &state.refresh {
            None => 0,
            Some(latest) => match latest.failures_if_due() {
                None => return latest.done.clone(),
                Some(failures) => failures,
            },
        };
        let cluster = self.clone();
        let asking = async move { Outcome { result: cluster.ask().await, at: Instant::now() } };
        let done = asking.boxed().shared();
        tokio::spawn(done.clone());
        let jitter = backoff::random_fraction();
        state.refresh = Some(Refresh { done: done.clone(), failures, jitter });
        done
    }

    async fn ask(&self) -> RedisResult<()> {
        let asked = self.nodes_to_ask();
        let questions = asked.iter().map(|node| map::ask(&node.connection, &node.name));
        let maps = gather(questions, self.0.options.connect_within).await?;
        let latest = maps.into_iter().max_by_key(|map| map.rank);
        latest.into_iter().for_each(|map| self.apply(&map));
        Ok(())
    }

    /// The first addresses are always among them: their names may lead to nodes that nobody knew.
    fn nodes_to_ask(&self) -> Vec<Node> {
        let turn = self.0.turn.fetch_add(1, Relaxed);
        let some = |nodes: &[Node]| -> Vec<Node> {
            let first = turn % nodes.len().max(1);
            nodes.iter().cycle().skip(first).take(nodes.len().min(MAX_ASKED)).cloned().collect()
        };
        let mut asked = some(&lock(&self.0.state).nodes);
        asked.extend(some(&self.0.seeds));
        asked
    }

    fn apply(&self, map: &Map) {
        let mut fresh =
            State { nodes: Vec::new(), owners: vec![NO_NODE; usize::from(SLOTS)], refresh: None };
        for (name, first, last) in &map.ranges {
            let index = fresh.index_of(&self.node_at(name));
            fresh.owners[usize::from(*first)..=usize::from(*last)].fill(index);
        }
        let mut state = lock(&self.0.state);
        (state.nodes, state.owners) = (fresh.nodes, fresh.owners);
    }
}

fn seed(info: ConnectionInfo, options: &Arc<ConnectionOptions>) -> RedisResult<Node> {
    let name = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Name { host: host.clone(), port: *port }
        }
        _ => {
            let text = "a node of a cluster has a host and a port";
            return Err((ErrorKind::InvalidClientConfig, text).into());
        }
    };
    let address = Address { info, options: Arc::clone(options) };
    address.validate()?;
    Ok(Node { name, connection: Renewed::new(address) })
}

impl Hop {
    fn to(node: Node) -> Self {
        Self { node, is_asking: false }
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Unreplied> {
        let connection = &self.node.connection;
        match self.is_asking {
            true => connection.send(&Asking(command)).await,
            false => connection.send(&Command(command)).await,
        }
    }
}

impl Inner {
    fn new_node(&self, name: &Name) -> Node {
        let address = address::at(self.like.addr(), &name.host, name.port);
        let info = self.like.clone().set_addr(address);
        let address = Address { info, options: Arc::clone(&self.options) };
        Node { name: name.clone(), connection: Renewed::new(address) }
    }
}

impl State {
    /// The index of a node, which is added if it is new. A cluster has at most 1,000 nodes or so.
    fn index_of(&mut self, node: &Node) -> u16 {
        let known = self.nodes.iter().position(|known| known.name == node.name);
        let index = known.unwrap_or_else(|| {
            self.nodes.push(node.clone());
            self.nodes.len() - 1
        });
        u16::try_from(index).unwrap_or(NO_NODE)
    }
}

impl Refresh {
    /// The number of failures in a row, if the slots should be asked for again.
    fn failures_if_due(&self) -> Option<u32> {
        let Outcome { result, at } = self.done.peek()?;
        let (failures, pause) = match result {
            Ok(()) => (0, MIN_BETWEEN),
            Err(_) => (self.failures + 1, backoff::pause(self.failures + 1, self.jitter)),
        };
        (at.elapsed() >= pause).then_some(failures)
    }
}

impl Redirection {
    fn from(error: &ServerError, asked: &Name) -> Option<Self> {
        let mut words = error.details().unwrap_or_default().split(' ');
        let mut named = || {
            let slot = words.next()?.parse().ok()?;
            Some((slot, Name::parse(words.next()?, asked)?))
        };
        match error.kind()? {
            ServerErrorKind::Moved => named().map(|(slot, name)| Self::Moved(slot, name)),
            ServerErrorKind::Ask => named().map(|(_, name)| Self::Ask(name)),
            ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown => Some(Self::Wait),
            _ => None,
        }
    }
}
