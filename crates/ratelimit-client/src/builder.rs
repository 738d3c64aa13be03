//! Building a limiter.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;

use crate::breaker::Breaker;
use crate::call::KeySpace;
use crate::counts::Tally;
use crate::denials::Denials;
use crate::fallback::Resilient;
use crate::limiter::{Decider, Limiter};
use crate::memory::{micros_running, Memory};
use crate::on_failure::{Fallback, OnFailure};
use crate::server::{Backend, Connection, ScriptText, Server};

/// Builds a [`Limiter`]: see [`Limiter::redis`] and [`Limiter::memory`]. Settings of a server have
/// no effect on the memory backend.
#[must_use]
pub struct Builder {
    target: Target,
    keys: KeySpace,
    backend: Backend,
    script: ScriptText,
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
            keys: KeySpace::default(),
            backend: Backend::Auto,
            script: ScriptText::default(),
            denials: None,
            failures_to_open: 5,
            pause: Duration::from_secs(1),
            clock: micros_running,
        }
    }

    /// Puts a prefix before every key: `app:` makes `app:user:42` of `user:42`.
    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.keys.prefix = prefix.as_ref().to_vec();
        self
    }

    /// Puts the name of the algorithm after every key: `user:42:bucket`. A key holds the state of
    /// one algorithm; with the suffix, a policy can change to another algorithm without an error.
    pub fn suffix_by_algorithm(mut self) -> Self {
        self.keys.suffix_by_algorithm = true;
        self
    }

    /// Chooses the module or the Lua script. Without this, the limiter finds out by itself.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Remembers denials: a denied key is denied here, without asking the server, until its wait is
    /// over. That holds for the same policy and for costs not below the denied one. At most
    /// `max_keys` denials are kept, and none for longer than `max_time`. A peek is always sent to
    /// the server.
    ///
    /// A remembered denial never allows what the server would deny. It may deny, for at most
    /// `max_time`, what the server would allow:
    ///
    /// - after another client has reset the key, or called it by another policy,
    /// - after a reset here that ran at the same time as a check,
    /// - after the server lost the state by failover or eviction,
    /// - after the server's clock stepped forward.
    ///
    /// A raised limit is another policy, so the server is asked at once. The wait that is reported
    /// is that of the denied cost. A higher cost may have to wait longer; the server says so once
    /// it is asked again.
    pub fn remember_denials(mut self, max_keys: usize, max_time: Duration) -> Self {
        self.denials = Some(Denials::new(max_keys, max_time));
        self
    }

    /// Sets the circuit breaker. After `failures` calls in a row (5) without a connection or
    /// without an answer before the deadline, the server is not asked for `pause` (1 s). Then one
    /// call in each pause tries it, until one is answered.
    pub fn circuit_breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.failures_to_open = failures;
        self.pause = pause;
        self
    }

    /// Replaces the text of the Lua script, as by one that reads another clock.
    #[cfg(feature = "test-util")]
    pub fn script_text(mut self, text: &str) -> Self {
        self.script = ScriptText::new(text);
        self
    }

    /// Replaces the clock of the memory backend. It counts microseconds, from any moment on.
    #[cfg(feature = "test-util")]
    pub fn memory_clock(mut self, clock: fn() -> i64) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> Limiter {
        let tally = Arc::<Tally>::default();
        let decider = match self.target {
            Target::Memory(max_keys) => Decider::Memory(Memory::new(max_keys, self.clock)),
            Target::Server(connection, on_failure) => {
                let local = match on_failure.fallback {
                    Fallback::Local { max_keys, .. } => Some(Memory::new(max_keys, self.clock)),
                    Fallback::Open | Fallback::Closed => None,
                };
                Decider::Server(Box::new(Resilient {
                    server: Server::new(connection, self.backend, self.script),
                    on_failure,
                    breaker: Breaker::new(self.failures_to_open, self.pause),
                    denials: self.denials,
                    local,
                    tally: Arc::clone(&tally),
                    last_failure: Mutex::default(),
                    start: Instant::now(),
                }))
            }
        };
        Limiter::new(decider, self.keys, tally)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { keys, backend, .. } = self;
        let mut builder = f.debug_struct("Builder");
        builder.field("keys", keys).field("backend", backend).finish_non_exhaustive()
    }
}
