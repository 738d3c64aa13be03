//! What a limiter is made of, chosen once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;

use crate::breaker::Breaker;
use crate::denials::Denials;
use crate::fallback::Resilient;
use crate::limiter::{Decider, Limiter};
use crate::memory::{micros_running, Memory};
use crate::on_failure::{Fallback, OnFailure};
use crate::server::{Backend, Connection, Server, Twin};

/// Builds a [`Limiter`]: see [`Limiter::redis`] and [`Limiter::memory`]. What concerns a server is
/// without effect on the memory backend.
#[must_use]
pub struct Builder {
    target: Target,
    prefix: Vec<u8>,
    suffixes: bool,
    which: Backend,
    twin: Twin,
    denials: Option<Denials>,
    failures_to_open: u32,
    pause: Duration,
    clock: fn() -> i64,
}

enum Target {
    Server(Arc<dyn Connection>, OnFailure),
    Memory(usize),
}

impl Builder {
    pub(crate) fn redis(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
        on_failure: OnFailure,
    ) -> Self {
        Self::new(Target::Server(Arc::new(connection), on_failure))
    }

    pub(crate) fn memory(max_keys: usize) -> Self {
        Self::new(Target::Memory(max_keys))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            prefix: Vec::new(),
            suffixes: false,
            which: Backend::Auto,
            twin: Twin::default(),
            denials: None,
            failures_to_open: 5,
            pause: Duration::from_secs(1),
            clock: micros_running,
        }
    }

    /// Stands before every key: `app:` makes `app:user:42` of `user:42`.
    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.prefix = prefix.as_ref().to_vec();
        self
    }

    /// Puts the algorithm behind every key: `user:42:bucket`. A key can hold the state of one
    /// algorithm alone; with this, a policy can change to another without an error.
    pub fn suffix_by_algorithm(mut self) -> Self {
        self.suffixes = true;
        self
    }

    /// Fixes whether the module or the Lua twin is asked; without this it is found out.
    pub fn backend(mut self, which: Backend) -> Self {
        self.which = which;
        self
    }

    /// Denies a denied key here, without asking, until its wait is over: for the same policy and a
    /// cost not below the denied one, for at most `max_keys` keys, and none longer than `longest`.
    /// A peek is always asked of the server.
    ///
    /// It never lets pass what the server would deny. It may deny what the server would allow, for no
    /// longer than `longest`, where somebody else has reset the key or called it by another policy,
    /// where it was reset here while it was being checked, where its state was lost in a failover or
    /// evicted, and where the server's clock stepped forward. A raised limit is another policy: it is
    /// asked for at once. A wait is told true for the denied cost; a larger one may have to wait
    /// longer, and is then told so.
    pub fn remember_denials(mut self, max_keys: usize, longest: Duration) -> Self {
        self.denials = Some(Denials::new(max_keys, longest));
        self
    }

    /// After so many calls in a row (5) that found no connection or no answer before the deadline, the
    /// server is left alone for `pause` (1 s); then one call a pause tries it, until one is answered.
    pub fn circuit_breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.failures_to_open = failures;
        self.pause = pause;
        self
    }

    /// For tests: another text of the Lua twin.
    #[doc(hidden)]
    pub fn twin_text(mut self, text: &str) -> Self {
        self.twin = Twin::new(text);
        self
    }

    /// For tests: the memory's clock, in microseconds.
    #[doc(hidden)]
    pub fn memory_clock(mut self, clock: fn() -> i64) -> Self {
        self.clock = clock;
        self
    }

    /// The limiter; its clones share everything.
    pub fn build(self) -> Limiter {
        let backend = match self.target {
            Target::Memory(max_keys) => Decider::Memory(Memory::new(max_keys, self.clock)),
            Target::Server(connection, on_failure) => {
                let local = match on_failure.fallback {
                    Fallback::Local { max_keys, .. } => Some(Memory::new(max_keys, self.clock)),
                    Fallback::Open | Fallback::Closed => None,
                };
                Decider::Server(Box::new(Resilient {
                    server: Server::new(connection, self.which, self.twin),
                    on_failure,
                    breaker: Breaker::new(self.failures_to_open, self.pause),
                    denials: self.denials,
                    local,
                    start: Instant::now(),
                }))
            }
        };
        Limiter::new(backend, self.prefix, self.suffixes)
    }
}
