//! A connection that is replaced when it is lost: one attempt at a time, with growing pauses.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use redis::{RedisError, RedisResult, ServerError};

use super::address::Opened;
use super::backoff;
use super::request::{is_of_the_server, Request};
use super::stream::StreamState;
use crate::sync::lock;

/// A connection that was lost sooner after it was made counts as a failed attempt.
const MIN_LIFE: Duration = Duration::from_secs(1);

/// The way to the server of the moment.
pub(super) trait Open: Send + Sync + 'static {
    fn open(&self) -> BoxFuture<'static, RedisResult<Opened>>;
}

/// A connection that is replaced when it is lost. All clones share it.
#[derive(Clone)]
pub(super) struct Renewed(Arc<Inner>);

struct Inner {
    opener: Box<dyn Open>,
    attempt: Mutex<Option<Attempt>>,
}

/// The latest attempt to connect.
struct Attempt {
    link: Arc<Link>,
    /// Failed attempts before this one, without a good one in between.
    failures: u32,
}

/// A connection, or the attempt to make it.
struct Link {
    opening: Shared<BoxFuture<'static, Outcome>>,
    has_answered: AtomicBool,
    /// Keeps the pauses of many clients apart.
    jitter: f64,
}

/// How an attempt to connect ended, and when.
#[derive(Clone)]
struct Outcome {
    opened: RedisResult<Opened>,
    at: Instant,
}

/// How a link was lost.
struct Loss {
    error: RedisError,
    /// When the attempt to connect ended.
    at: Instant,
    was_good: bool,
}

/// Why a call has no reply.
pub(super) enum Unreplied {
    /// Nothing of the call has reached a server.
    Unsent(RedisError),
    /// The server may have run it.
    Sent(RedisError),
}

impl From<Unreplied> for RedisError {
    fn from(unreplied: Unreplied) -> Self {
        match unreplied {
            Unreplied::Unsent(error) | Unreplied::Sent(error) => error,
        }
    }
}

impl Renewed {
    /// Connects at the first call.
    pub(super) fn new(opener: impl Open) -> Self {
        Self(Arc::new(Inner { opener: Box::new(opener), attempt: Mutex::new(None) }))
    }

    /// Sends a request once. If the connection had ended before anything of the request was written,
    /// as after a pause that was too long for the server, it goes out over a new connection.
    pub(super) async fn send<R: Request>(&self, request: &R) -> Result<R::Reply, Unreplied> {
        let link = self.link().map_err(Unreplied::Unsent)?;
        match link.send(request).await {
            // Boxed, so that calls that need no second try do not carry the room for it.
            Err(Unreplied::Unsent(_)) if link.was_open() => {
                Box::pin(self.send_over_new_link(request)).await
            }
            reply => reply,
        }
    }

    async fn send_over_new_link<R: Request>(&self, request: &R) -> Result<R::Reply, Unreplied> {
        let link = self.link().map_err(Unreplied::Unsent)?;
        link.send(request).await
    }

    /// The connection in use, or a new attempt after a loss. `Err`: no attempt is due yet.
    fn link(&self) -> RedisResult<Arc<Link>> {
        let mut attempt = lock(&self.0.attempt);
        let failures = match &*attempt {
            None => 0,
            Some(latest) => match latest.link.loss() {
                None => return Ok(Arc::clone(&latest.link)),
                Some(loss) => latest.failures_to_retry(loss)?,
            },
        };
        let link = Arc::new(Link::open(&*self.0.opener));
        *attempt = Some(Attempt { link: Arc::clone(&link), failures });
        Ok(link)
    }
}

impl Attempt {
    /// The number of failures in a row. `Err`: the pause after them is not over.
    fn failures_to_retry(&self, loss: Loss) -> RedisResult<u32> {
        let failures = if loss.was_good { 0 } else { self.failures.saturating_add(1) };
        if loss.at.elapsed() < backoff::pause(failures, self.link.jitter) {
            return Err(loss.error);
        }
        Ok(failures)
    }
}

impl Link {
    /// Connects in a task of its own, which goes on even if the call that waits for it is given up.
    fn open(opener: &dyn Open) -> Self {
        let opening = opener.open();
        let opening = async move { Outcome { opened: opening.await, at: Instant::now() } };
        let opening = opening.boxed().shared();
        tokio::spawn(opening.clone());
        let has_answered = AtomicBool::new(false);
        Self { opening, has_answered, jitter: backoff::random_fraction() }
    }

    /// `None` while the link is in use or being made.
    fn loss(&self) -> Option<Loss> {
        let Outcome { opened, at } = self.opening.peek()?;
        let (error, was_good) = match opened {
            Err(error) => (error.clone(), false),
            Ok(opened) if !opened.state.is_lost() => return None,
            Ok(opened) => {
                let was_good = self.has_answered.load(Relaxed) && at.elapsed() >= MIN_LIFE;
                (opened.state.loss()?, was_good)
            }
        };
        Some(Loss { error, at: *at, was_good })
    }

    fn was_open(&self) -> bool {
        self.opening.peek().is_some_and(|outcome| outcome.opened.is_ok())
    }

    async fn opened(&self) -> RedisResult<Opened> {
        match self.opening.peek() {
            Some(outcome) => outcome.opened.clone(),
            None => self.opening.clone().await.opened,
        }
    }

    async fn send<R: Request>(&self, request: &R) -> Result<R::Reply, Unreplied> {
        let Opened { connection, state } = self.opened().await.map_err(Unreplied::Unsent)?;
        let written_before = state.written();
        match request.send(connection).await {
            Ok(reply) => {
                self.note_reply(&state, R::error(&reply));
                Ok(reply)
            }
            Err(error) if state.ended_unwritten(written_before) => Err(Unreplied::Unsent(error)),
            Err(error) => Err(Unreplied::Sent(error)),
        }
    }

    fn note_reply(&self, state: &StreamState, error: Option<&ServerError>) {
        match error.cloned().map(RedisError::from).filter(is_of_the_server) {
            Some(error) => state.give_up(error),
            None if self.has_answered.load(Relaxed) => {}
            None => self.has_answered.store(true, Relaxed),
        }
    }
}
