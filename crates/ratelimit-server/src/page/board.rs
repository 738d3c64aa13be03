//! The results of a simulation: replies go in, and every 100 ms a tick for the page comes out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::instances::{InstanceReply, NoDecision};
use crate::units::millis;

/// A tick lists this many denials, and only the number of the others.
const MAX_DENIALS: usize = 20;

/// One request that a simulated client has sent to one algorithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) series: usize,
    pub(crate) client: usize,
    /// The number of the peer that it was sent to.
    pub(crate) peer: usize,
    pub(crate) sent_at_ms: u64,
}

/// What happened since the last tick, unless the field says otherwise.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tick {
    /// Since the start.
    pub(crate) at_ms: u64,
    /// One for each algorithm.
    pub(crate) series: Vec<Series>,
    /// Answers by the instance that gave them.
    pub(crate) instances: BTreeMap<String, u64>,
    /// In the order of the settings.
    pub(crate) peers: Vec<Peer>,
}

/// One of the instances that requests are sent to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Peer {
    /// Its address, until it has told its name.
    pub(crate) name: String,
    /// What became of the requests to it: the source of the answer (the module, the script, the
    /// instance alone …), or the reason why there is no decision.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Series {
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    pub(crate) denials: Vec<Denial>,
    pub(crate) denials_left_out: u64,
    pub(crate) clients: Vec<Client>,
}

/// One denied request.
#[derive(Debug, Serialize)]
pub(crate) struct Denial {
    pub(crate) at_ms: u64,
    pub(crate) client: usize,
    /// −1: for ever.
    pub(crate) retry_after_ms: i64,
    pub(crate) instance: String,
}

/// The standing of a client.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Client {
    /// As last answered; `None` before the first answer.
    pub(crate) remaining: Option<u64>,
    /// From the last answer, counted down.
    pub(crate) reset_after_ms: u64,
    /// Allowed within the last window.
    pub(crate) in_window: usize,
    /// The most that was ever allowed within the length of one window.
    pub(crate) most_in_window: usize,
    pub(crate) instance: String,
}

pub(crate) struct Board {
    window_ms: u64,
    /// The names of the peers.
    names: Vec<String>,
    /// By algorithm, then by client.
    clients: Vec<Vec<History>>,
    tick: Tick,
}

#[derive(Clone, Default)]
struct History {
    client: Client,
    reset_at_ms: u64,
    /// When the requests that were allowed within the last window were sent.
    ///
    /// The service decides a request between its sending and its answer. So that a slow answer never
    /// shows more in one window than there was, a window reaches from a sending to an answer.
    allowed_at_ms: VecDeque<u64>,
}

impl Board {
    /// `names` are what the peers are called before they tell their names.
    pub(crate) fn new(
        algorithms: usize,
        clients: usize,
        window: Duration,
        names: Vec<String>,
    ) -> Self {
        let clients = vec![vec![History::default(); clients]; algorithms];
        let tick = empty_tick(algorithms, names.len());
        Self { window_ms: millis(window), names, clients, tick }
    }

    pub(crate) fn record(
        &mut self,
        at_ms: u64,
        sent: Sent,
        reply: Result<InstanceReply, NoDecision>,
    ) {
        let outcome = reply.as_ref().map_or_else(|why| why.name(), |reply| &reply.source);
        *self.tick.peers[sent.peer].outcomes.entry(outcome.to_owned()).or_default() += 1;
        let Ok(reply) = reply else { return };
        if self.names[sent.peer] != reply.instance {
            self.names[sent.peer].clone_from(&reply.instance);
        }
        let series = &mut self.tick.series[sent.series];
        if reply.allowed {
            series.allowed += 1;
        } else {
            series.denied += 1;
            series.deny(Denial {
                at_ms,
                client: sent.client,
                retry_after_ms: reply.retry_after_ms,
                instance: reply.instance.clone(),
            });
        }
        *self.tick.instances.entry(reply.instance.clone()).or_default() += 1;
        self.clients[sent.series][sent.client].record(
            sent.sent_at_ms,
            at_ms,
            self.window_ms,
            reply,
        );
    }

    /// Returns what happened since the last tick, and begins the next one.
    pub(crate) fn take_tick(&mut self, at_ms: u64) -> Tick {
        let empty = empty_tick(self.clients.len(), self.names.len());
        let mut tick = std::mem::replace(&mut self.tick, empty);
        tick.at_ms = at_ms;
        for (peer, name) in tick.peers.iter_mut().zip(&self.names) {
            peer.name.clone_from(name);
        }
        for (series, histories) in tick.series.iter_mut().zip(&mut self.clients) {
            let now = |history: &mut History| history.at(at_ms, self.window_ms);
            series.clients = histories.iter_mut().map(now).collect();
        }
        tick
    }
}

fn empty_tick(algorithms: usize, peers: usize) -> Tick {
    let series = (0..algorithms).map(|_| Series::default()).collect();
    Tick { series, peers: vec![Peer::default(); peers], ..Tick::default() }
}

impl Series {
    fn deny(&mut self, denial: Denial) {
        if self.denials.len() < MAX_DENIALS {
            self.denials.push(denial);
        } else {
            self.denials_left_out += 1;
        }
    }
}

impl History {
    fn record(&mut self, sent_at_ms: u64, at_ms: u64, window_ms: u64, reply: InstanceReply) {
        self.forget(at_ms, window_ms);
        if reply.allowed {
            self.allowed_at_ms.push_back(sent_at_ms);
        }
        self.reset_at_ms = at_ms.saturating_add(reply.reset_after_ms);
        self.client.remaining = Some(reply.remaining);
        self.client.instance = reply.instance;
        self.client.most_in_window = self.client.most_in_window.max(self.allowed_at_ms.len());
    }

    fn at(&mut self, at_ms: u64, window_ms: u64) -> Client {
        self.forget(at_ms, window_ms);
        let mut client = self.client.clone();
        client.reset_after_ms = self.reset_at_ms.saturating_sub(at_ms);
        client.in_window = self.allowed_at_ms.len();
        client
    }

    fn forget(&mut self, at_ms: u64, window_ms: u64) {
        while self.allowed_at_ms.front().is_some_and(|then| then + window_ms <= at_ms) {
            self.allowed_at_ms.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent { series: 0, client: 1, peer: 0, sent_at_ms: 0 };

    fn board() -> Board {
        Board::new(2, 2, Duration::from_secs(1), vec!["h:1".into(), "h:2".into()])
    }

    fn reply(allowed: bool) -> Result<InstanceReply, NoDecision> {
        Ok(InstanceReply {
            allowed,
            remaining: 4,
            retry_after_ms: if allowed { 0 } else { 300 },
            reset_after_ms: 500,
            source: "module".into(),
            instance: "a".into(),
        })
    }

    #[test]
    fn a_tick_counts_since_the_last_one() {
        let mut board = board();
        board.record(10, SENT, reply(true));
        board.record(20, SENT, reply(false));
        let tick = board.take_tick(100);
        let [first, second] = &tick.series[..] else { panic!("two algorithms") };
        assert_eq!((first.allowed, first.denied), (1, 1));
        assert_eq!((second.allowed, second.denied), (0, 0));
        assert_eq!((tick.instances["a"], tick.peers[0].outcomes["module"]), (2, 2));
        assert_eq!((first.denials[0].at_ms, first.denials[0].retry_after_ms), (20, 300));
        let tick = board.take_tick(200);
        assert_eq!((tick.series[0].allowed, tick.instances.len()), (0, 0));
        assert!(tick.peers.iter().all(|peer| peer.outcomes.is_empty()));
    }

    #[test]
    fn a_peer_has_the_name_that_it_told_last_and_its_own_outcomes() {
        let mut board = board();
        let other = Sent { peer: 1, ..SENT };
        board.record(10, SENT, reply(true));
        board.record(20, other, Err(NoDecision::Unreachable));
        board.record(30, other, Err(NoDecision::Undecided));
        for _ in 0..2 {
            let tick = board.take_tick(100);
            assert_eq!(tick.peers.iter().map(|peer| &*peer.name).collect::<Vec<_>>(), ["a", "h:2"]);
        }
        board.record(110, SENT, Err(NoDecision::Unreachable));
        let tick = board.take_tick(200);
        assert_eq!((&*tick.peers[0].name, tick.peers[0].outcomes["unreachable"]), ("a", 1));
        board.record(210, Sent { peer: 0, ..SENT }, reply(true));
        board.record(220, other, reply(true));
        assert_eq!(board.take_tick(300).peers[1].name, "a");
    }

    #[test]
    fn the_time_to_reset_counts_down() {
        let mut board = board();
        board.record(10, SENT, reply(true));
        for (at_ms, reset_after_ms) in [(10, 500), (100, 410), (600, 0)] {
            let client = board.take_tick(at_ms).series[0].clients[1].clone();
            assert_eq!((client.remaining, client.reset_after_ms), (Some(4), reset_after_ms));
        }
        assert_eq!(board.take_tick(700).series[0].clients[0].remaining, None);
    }

    #[test]
    fn the_window_moves_and_its_highest_count_stays() {
        let mut board = board();
        for sent_at_ms in [0, 400, 800] {
            board.record(sent_at_ms + 5, Sent { sent_at_ms, ..SENT }, reply(true));
        }
        for (at_ms, in_window) in [(999, 3), (1_000, 2), (1_400, 1), (1_800, 0)] {
            let client = board.take_tick(at_ms).series[0].clients[1].clone();
            assert_eq!((client.in_window, client.most_in_window), (in_window, 3), "{at_ms}");
        }
    }

    #[test]
    fn a_late_answer_does_not_raise_the_count_of_a_window() {
        let mut board = board();
        // Decided at 0 and at 1000, which are a window apart; the first answer comes late.
        board.record(200, SENT, reply(true));
        board.record(1_001, Sent { sent_at_ms: 1_000, ..SENT }, reply(true));
        assert_eq!(board.take_tick(1_100).series[0].clients[1].most_in_window, 1);
    }

    #[test]
    fn a_tick_lists_a_bounded_number_of_denials() {
        let mut board = board();
        for _ in 0..MAX_DENIALS + 5 {
            board.record(0, SENT, reply(false));
        }
        let tick = board.take_tick(100);
        assert_eq!((tick.series[0].denials.len(), tick.series[0].denials_left_out), (20, 5));
    }
}
