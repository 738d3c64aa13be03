//! One simulation: sends its requests when they are due, and reports the results to the page, until
//! its time is over or the page is gone.

use std::time::Duration;

use axum::body::Bytes;
use ratelimit_client::Algorithm;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep_until, timeout, Instant, MissedTickBehavior};

use super::board::{Board, Sent, Tick};
use super::instances::{InstanceReply, Instances, NoDecision};
use super::parameters::{page_name, Parameters};
use crate::random::random_hex;
use crate::units::millis;

const TICK: Duration = Duration::from_millis(100);
/// With this many unanswered requests, a request that is due waits for an answer.
const MAX_UNANSWERED: usize = 256;
/// How long to wait for the last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A message to the page.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Event {
    Start {
        algorithms: Vec<String>,
        clients: u32,
        limit: u64,
        /// The limit, if the parameters have none.
        burst: u64,
        window_ms: u64,
        /// Of the whole simulation.
        seconds: u64,
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

/// How far a simulation is: its name, which is part of its keys, and the time since its start. A page
/// that lost its connection sends it again, and the simulation goes on from there with the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) run: String,
    pub(crate) at: Duration,
}

impl Position {
    pub(crate) fn start() -> Self {
        Self { run: random_hex(), at: Duration::ZERO }
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
    instances: Instances,
    events: mpsc::Sender<Event>,
) {
    let mut simulation = Simulation::new(parameters, position, instances);
    tokio::select! {
        () = events.closed() => {}
        () = simulation.run(&events) => {}
    }
}

/// A request that was sent, and its outcome.
type Answered = Result<(Sent, Result<InstanceReply, NoDecision>), JoinError>;

struct Simulation {
    parameters: Parameters,
    instances: Instances,
    started: Instant,
    /// By client, the number of its next request.
    next: Vec<u64>,
    /// By algorithm, then by client.
    bodies: Vec<Vec<Bytes>>,
    unanswered: JoinSet<(Sent, Result<InstanceReply, NoDecision>)>,
    board: Board,
    run: String,
}

impl Simulation {
    fn new(parameters: Parameters, position: Position, instances: Instances) -> Self {
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
            board: Board::new(
                algorithms,
                traffic.clients as usize,
                parameters.window,
                instances.addresses(),
            ),
            parameters,
            instances,
            run,
        }
    }

    async fn run(&mut self, events: &mpsc::Sender<Event>) {
        let _ = events.send(self.start()).await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (at, client) = self.next_due();
            if at.max(self.started.elapsed()) >= self.parameters.length {
                break;
            }
            let may_send = self.unanswered.len() < MAX_UNANSWERED;
            tokio::select! {
                biased;
                Some(answer) = self.unanswered.join_next() => self.record(answer),
                () = sleep_until(self.started + at), if may_send => self.send(client),
                _ = ticks.tick() => self.report(events),
            }
        }
        self.finish(events, ticks).await;
    }

    /// Waits for the end of the time, in which no request is due, and for the last answers.
    async fn finish(&mut self, events: &mpsc::Sender<Event>, mut ticks: tokio::time::Interval) {
        let end = self.started + self.parameters.length;
        while Instant::now() < end {
            tokio::select! {
                Some(answer) = self.unanswered.join_next() => self.record(answer),
                _ = ticks.tick() => self.report(events),
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
            algorithms: self.parameters.algorithms.iter().map(|a| page_name(*a)).collect(),
            clients: self.parameters.traffic.clients,
            limit: self.parameters.limit,
            burst: self.parameters.burst.unwrap_or(self.parameters.limit),
            window_ms: millis(self.parameters.window),
            seconds: self.parameters.length.as_secs(),
            run: self.run.clone(),
        }
    }

    fn next_due(&self) -> (Duration, u32) {
        let calls = (0..).zip(&self.next);
        calls
            .map(|(client, n)| (self.parameters.traffic.arrival(client, *n), client))
            .min()
            .expect("there is a client")
    }

    /// Sends one request of a client to every algorithm, through the same instance.
    fn send(&mut self, client: u32) {
        let next = &mut self.next[client as usize];
        // Each client meets each instance, even if their numbers have a common divisor.
        let peer = self.instances.at_turn(*next + u64::from(client));
        *next += 1;
        let client = client as usize;
        for (series, bodies) in self.bodies.iter().enumerate() {
            let (instances, body) = (self.instances.clone(), bodies[client].clone());
            let sent = Sent { series, client, peer, sent_at_ms: self.now_ms() };
            self.unanswered.spawn(async move { (sent, instances.check(peer, body).await) });
        }
    }

    fn record(&mut self, answer: Answered) {
        let (sent, reply) = answer.expect("a request does not panic, and ends with its simulation");
        self.board.record(self.now_ms(), sent, reply);
    }

    /// A page that receives slowly gets the same numbers in fewer ticks.
    fn report(&mut self, events: &mpsc::Sender<Event>) {
        if let Ok(room) = events.try_reserve() {
            room.send(Event::Tick(self.board.take_tick(self.now_ms())));
        }
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

/// The body that each client sends to one algorithm, with a key of its own.
fn bodies(parameters: &Parameters, algorithm: Algorithm, run: &str) -> Vec<Bytes> {
    let name = page_name(algorithm);
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
    fn a_position_is_read_as_it_was_written() {
        let start = Position::start();
        let position = Position { at: Duration::from_millis(12_300), ..start.clone() };
        assert_eq!(Position::parse(&start.id(12_300)), Some(position));
    }

    #[test]
    fn a_malformed_position_is_rejected() {
        let long = format!("{}-1", "a".repeat(17));
        for id in ["", "-", "0123456789abcdef", "0123456789abcdef-", "0123456789abcdeg-1", &long] {
            assert_eq!(Position::parse(id), None, "{id}");
        }
        for at_ms in ["+1", "-1", "1234567", "1 "] {
            assert_eq!(Position::parse(&format!("0123456789abcdef-{at_ms}")), None, "{at_ms}");
        }
    }
}
