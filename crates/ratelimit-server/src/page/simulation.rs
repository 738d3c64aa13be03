//! One simulation: sends its requests when they are due, and tells the page what became of them,
//! until its time is over or the page is gone.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use axum::body::Bytes;
use ratelimit_client::Algorithm;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep_until, timeout, Instant, MissedTickBehavior};

use super::board::{Board, Call, Tick};
use super::parameters::Parameters;
use super::peers::{Peers, Verdict};
use crate::policies::words::algorithm_name;

const TICK: Duration = Duration::from_millis(100);
/// A request that is due while so many have no answer yet waits for one of them.
const MAX_UNANSWERED: usize = 256;
/// How long the last answers are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// What the page is told.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Event {
    Start {
        algorithms: Vec<&'static str>,
        clients: u32,
        limit: u64,
        /// The limit, where it is not told.
        burst: u64,
        window_ms: u64,
        run: String,
    },
    Tick(Tick),
    End {},
}

impl Event {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Tick(_) => "tick",
            Self::End {} => "end",
        }
    }
}

/// Where a simulation is: its name, which its keys bear, and the time since its start. A page whose
/// connection broke hands it in again and goes on from there, on the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) run: String,
    pub(crate) at: Duration,
}

impl Position {
    pub(crate) fn start() -> Self {
        let run = format!("{:016x}", RandomState::new().hash_one(0));
        Self { run, at: Duration::ZERO }
    }

    /// `<16 hexadecimal digits>-<milliseconds>`, as [`Position::id`] writes it.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (run, at_ms) = id.split_once('-')?;
        let is_run = run.len() == 16 && run.bytes().all(|b| b.is_ascii_hexdigit());
        let is_number = at_ms.len() <= 6 && at_ms.bytes().all(|b| b.is_ascii_digit());
        let at = Duration::from_millis(at_ms.parse().ok()?);
        (is_run && is_number).then(|| Self { run: run.to_owned(), at })
    }

    pub(crate) fn id(&self, at_ms: u64) -> String {
        format!("{}-{at_ms}", self.run)
    }
}

/// Runs until its time is over, or until nobody receives its events.
pub(crate) async fn run(
    parameters: Parameters,
    position: Position,
    peers: Peers,
    events: mpsc::Sender<Event>,
) {
    let mut simulation = Simulation::new(parameters, position, peers);
    tokio::select! {
        () = events.closed() => {}
        () = simulation.run(&events) => {}
    }
}

struct Simulation {
    parameters: Parameters,
    peers: Peers,
    started: Instant,
    /// By client, the number of its next call.
    next: Vec<u64>,
    /// By algorithm, then by client.
    bodies: Vec<Vec<Bytes>>,
    unanswered: JoinSet<(Call, Option<Verdict>)>,
    board: Board,
    run: String,
}

impl Simulation {
    fn new(parameters: Parameters, position: Position, peers: Peers) -> Self {
        let Position { run, at } = position;
        let traffic = parameters.traffic;
        let first_due = |client| (0..).find(|n| traffic.arrival(client, *n) >= at);
        let next = (0..traffic.clients).map(|client| first_due(client).unwrap_or(0)).collect();
        let algorithms = parameters.algorithms.len();
        Self {
            started: Instant::now() - at,
            next,
            bodies: parameters.algorithms.iter().map(|a| bodies(&parameters, *a, &run)).collect(),
            unanswered: JoinSet::new(),
            board: Board::new(algorithms, traffic.clients as usize, parameters.window),
            parameters,
            peers,
            run,
        }
    }

    async fn run(&mut self, events: &mpsc::Sender<Event>) {
        let _ = events.send(self.start()).await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (at, client) = self.next_call();
            if at.max(self.started.elapsed()) >= self.parameters.length {
                break;
            }
            let may_send = self.unanswered.len() < MAX_UNANSWERED;
            tokio::select! {
                biased;
                Some(answer) = self.unanswered.join_next() => self.record(answer),
                () = sleep_until(self.started + at), if may_send => self.send(client),
                _ = ticks.tick() => self.tell(events),
            }
        }
        self.finish(events, ticks).await;
    }

    /// The rest of the time, in which nobody calls, and the answers that are still to come.
    async fn finish(&mut self, events: &mpsc::Sender<Event>, mut ticks: tokio::time::Interval) {
        let end = self.started + self.parameters.length;
        while Instant::now() < end {
            tokio::select! {
                Some(answer) = self.unanswered.join_next() => self.record(answer),
                _ = ticks.tick() => self.tell(events),
            }
        }
        let last_answers = async {
            while let Some(answer) = self.unanswered.join_next().await {
                self.record(answer);
            }
        };
        let _ = timeout(LAST_ANSWERS, last_answers).await;
        let last = Event::Tick(self.board.take_tick(self.now_ms()));
        let _ = events.send(last).await;
        let _ = events.send(Event::End {}).await;
    }

    fn start(&self) -> Event {
        Event::Start {
            algorithms: self.parameters.algorithms.iter().map(|a| algorithm_name(*a)).collect(),
            clients: self.parameters.traffic.clients,
            limit: self.parameters.limit,
            burst: self.parameters.burst.unwrap_or(self.parameters.limit),
            window_ms: self.parameters.window.as_millis() as u64,
            run: self.run.clone(),
        }
    }

    fn next_call(&self) -> (Duration, u32) {
        let calls = (0..).zip(&self.next);
        calls
            .map(|(client, n)| (self.parameters.traffic.arrival(client, *n), client))
            .min()
            .expect("there is a client")
    }

    /// One request of a client: to every algorithm, by the same instance.
    fn send(&mut self, client: u32) {
        let next = &mut self.next[client as usize];
        // So that each client meets each instance, also where their numbers have a common divisor.
        let turn = *next + u64::from(client);
        *next += 1;
        let client = client as usize;
        for (series, bodies) in self.bodies.iter().enumerate() {
            let (peers, body) = (self.peers.clone(), bodies[client].clone());
            let call = Call { series, client, sent_at_ms: self.now_ms() };
            self.unanswered.spawn(async move { (call, peers.check(turn, body).await) });
        }
    }

    fn record(&mut self, answer: Result<(Call, Option<Verdict>), JoinError>) {
        let (call, verdict) =
            answer.expect("a request does not panic, and ends with its simulation");
        self.board.record(self.now_ms(), call, verdict);
    }

    /// A page that is slow to receive gets the same numbers in fewer ticks.
    fn tell(&mut self, events: &mpsc::Sender<Event>) {
        if let Ok(room) = events.try_reserve() {
            room.send(Event::Tick(self.board.take_tick(self.now_ms())));
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// What each client sends to one algorithm; its key is its own.
fn bodies(parameters: &Parameters, algorithm: Algorithm, run: &str) -> Vec<Bytes> {
    let name = algorithm_name(algorithm);
    let body = |client| {
        let mut body = json!({
            "key": format!("dashboard:{run}:{name}:{client}"),
            "limit": parameters.limit,
            "window": format!("{}ms", parameters.window.as_millis()),
            "algorithm": name,
        });
        if let (Algorithm::Bucket, Some(burst)) = (algorithm, parameters.burst) {
            body["burst"] = burst.into();
        }
        Bytes::from(body.to_string())
    };
    (0..parameters.traffic.clients).map(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was_told() {
        let start = Position::start();
        let position = Position { at: Duration::from_millis(12_300), ..start.clone() };
        assert_eq!(Position::parse(&start.id(12_300)), Some(position));
    }

    #[test]
    fn a_strange_position_is_none() {
        let long = format!("{}-1", "a".repeat(17));
        for id in ["", "-", "0123456789abcdef", "0123456789abcdef-", "0123456789abcdeg-1", &long] {
            assert_eq!(Position::parse(id), None, "{id}");
        }
        for at_ms in ["+1", "-1", "1234567", "1 "] {
            assert_eq!(Position::parse(&format!("0123456789abcdef-{at_ms}")), None, "{at_ms}");
        }
    }
}
