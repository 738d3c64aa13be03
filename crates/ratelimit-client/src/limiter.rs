//! The limiter: from a call to an answer, whatever happens to the server.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ratelimit_core::Algorithm;
use redis::aio::ConnectionLike;

use crate::breaker::Breaker;
use crate::builder::{Builder, OnFailure, Then};
use crate::call::{Call, Verb};
use crate::counts::{Counters, Counts};
use crate::denials::Denials;
use crate::error::Asked;
use crate::memory::Memory;
use crate::server::Server;
use crate::{Answer, Error, Failure, Policy, Quota, Retry, Source, Window};

/// Decides calls by a server's module, its Lua twin, or memory. Cheap to clone; clones share all.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    backend: Backend,
    prefix: Vec<u8>,
    suffixes: bool,
    counters: Counters,
    /// Waits of this process are measured from here, by a clock that does not step.
    start: Instant,
}

pub(crate) enum Backend {
    Memory(Memory),
    Server(Box<Guard>),
}

impl Limiter {
    /// Asks a server, over any async connection of the crate `redis` that can be cloned.
    pub fn redis(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
        on_failure: OnFailure,
    ) -> Builder {
        Builder::redis(connection, on_failure)
    }

    /// Decides in the memory of this process, for at most `most_keys` keys at a time: for tests, and
    /// for a service on one machine. A new key above that is [`Error::MemoryFull`].
    pub fn memory(most_keys: usize) -> Builder {
        Builder::memory(most_keys)
    }

    pub(crate) fn new(backend: Backend, prefix: Vec<u8>, suffixes: bool) -> Self {
        let counters = Counters::default();
        Self(Arc::new(Shared { backend, prefix, suffixes, counters, start: Instant::now() }))
    }

    /// Decides, and counts the call if it is allowed.
    pub async fn check<K>(&self, key: &K, policy: &Policy) -> Result<Answer, Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        self.check_call(Call::new(key, policy)).await
    }

    /// What [`Limiter::check`] would decide, described as it stands; counts nothing.
    pub async fn peek<K>(&self, key: &K, policy: &Policy) -> Result<Answer, Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        self.peek_call(Call::new(key, policy)).await
    }

    /// [`Limiter::check`] of any cost.
    pub async fn check_call(&self, call: Call<'_>) -> Result<Answer, Error> {
        self.ask(Verb::Check, call).await
    }

    /// [`Limiter::peek`] of any cost.
    pub async fn peek_call(&self, call: Call<'_>) -> Result<Answer, Error> {
        self.ask(Verb::Peek, call).await
    }

    /// [`Limiter::check_call`] of many independent calls at once. All are sent before the first
    /// answer is waited for, so that over one connection they take one round trip, and in a cluster
    /// one to each node; each is decided for itself.
    pub async fn check_each(&self, calls: &[Call<'_>]) -> Vec<Result<Answer, Error>> {
        join_all(calls.iter().map(|&call| self.check_call(call))).await
    }

    /// Makes the key as if unused. The policy tells its suffix, where there is one.
    pub async fn reset<K>(&self, key: &K, policy: &Policy) -> Result<(), Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        let key = self.0.full_key(key.as_ref(), policy);
        match &self.0.backend {
            Backend::Memory(memory) => {
                memory.remove(&key);
                Ok(())
            }
            Backend::Server(guard) => guard.reset(&key, &self.0).await,
        }
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    async fn ask(&self, verb: Verb, call: Call<'_>) -> Result<Answer, Error> {
        let result = self.0.ask(verb, call).await;
        self.0.counters.count(&result);
        result
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Limiter").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Shared {
    async fn ask(&self, verb: Verb, call: Call<'_>) -> Result<Answer, Error> {
        let core = call.to_core()?;
        let key = self.full_key(call.key, call.policy);
        match &self.backend {
            Backend::Memory(memory) => memory.ask(verb, &key, &core),
            Backend::Server(guard) => guard.ask(verb, &key, call, self).await,
        }
    }

    fn full_key<'a>(&self, key: &'a [u8], policy: &Policy) -> Cow<'a, [u8]> {
        if self.prefix.is_empty() && !self.suffixes {
            return Cow::Borrowed(key);
        }
        let suffix: &[u8] = match policy.algorithm() {
            _ if !self.suffixes => b"",
            Algorithm::Fixed => b":fixed",
            Algorithm::Sliding => b":sliding",
            Algorithm::Bucket => b":bucket",
        };
        Cow::Owned([&self.prefix, key, suffix].concat())
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// A server, and what stands between it and a caller who cannot wait.
pub(crate) struct Guard {
    pub(crate) server: Server,
    pub(crate) on_failure: OnFailure,
    pub(crate) breaker: Breaker,
    pub(crate) denials: Option<Denials>,
    pub(crate) local: Option<Memory>,
}

impl Guard {
    async fn ask(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        shared: &Shared,
    ) -> Result<Answer, Error> {
        let asked_ms = shared.now_ms();
        if let Some(known) = self.known_denial(verb, key, &call, asked_ms) {
            return Ok(known);
        }
        match self.guarded(self.server.ask(verb, key, call, asked_ms), shared).await {
            Ok(answer) => {
                if let Some(denials) = &self.denials {
                    denials.learn(key, &call, &answer, asked_ms, shared.now_ms());
                }
                Ok(answer)
            }
            Err(Asked::Wrong(error)) => Err(error),
            Err(Asked::Failed(failure)) => self.without_server(verb, key, call, failure),
        }
    }

    /// A PEEK asks how the key stands, so that it is always asked of the server.
    fn known_denial(&self, verb: Verb, key: &[u8], call: &Call, now_ms: u64) -> Option<Answer> {
        let denials = self.denials.as_ref().filter(|_| verb == Verb::Check)?;
        denials.get(key, call, now_ms)
    }

    async fn reset(&self, key: &[u8], shared: &Shared) -> Result<(), Error> {
        let deleted = self.guarded(self.server.delete(key), shared).await;
        if let Some(local) = &self.local {
            local.remove(key);
        }
        if let Some(denials) = &self.denials {
            denials.forget(key);
        }
        deleted.map_err(|asked| match asked {
            Asked::Wrong(error) => error,
            Asked::Failed(failure) => Error::Unavailable(failure),
        })
    }

    /// Within the deadline, and not at all while the circuit is open.
    async fn guarded<T>(
        &self,
        asking: impl Future<Output = Result<T, Asked>>,
        shared: &Shared,
    ) -> Result<T, Asked> {
        let result = if !self.breaker.permits(shared.now_ms()) {
            Err(Asked::Failed(Failure::CircuitOpen))
        } else {
            let answered = tokio::time::timeout(self.on_failure.deadline, asking).await;
            let result = answered.unwrap_or(Err(Asked::Failed(Failure::Deadline)));
            match &result {
                Err(Asked::Failed(Failure::Deadline | Failure::Connection)) => {
                    self.breaker.failed(shared.now_ms());
                }
                // A server that answers costs nobody the deadline, and may decide the next call: out
                // of memory it refuses new keys alone.
                _ => self.breaker.succeeded(),
            }
            result
        };
        if let Err(Asked::Failed(failure)) = &result {
            shared.counters.count_failure(*failure);
        }
        result
    }

    /// What the caller chose for this case.
    fn without_server(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        failure: Failure,
    ) -> Result<Answer, Error> {
        match (self.on_failure.then, &self.local) {
            (Then::Open, _) => Ok(unused(call.policy, failure)),
            (Then::Local { instances, .. }, Some(memory)) => {
                locally(memory, instances, verb, key, call, failure)
            }
            _ => Err(Error::Unavailable(failure)),
        }
    }
}

/// The numbers of a policy that nobody has used: what else could be said where nobody counts?
fn unused(policy: &Policy, failure: Failure) -> Answer {
    let unused = |burst| Window {
        quota: Quota { limit: burst, remaining: burst, reset_after: Duration::ZERO },
        retry: Retry::Now,
    };
    let bursts = policy.windows().iter().map(|pair| pair.burst);
    let binding = unused(bursts.clone().min().unwrap_or(0));
    let windows = match policy.windows() {
        [_] => Vec::new(),
        _ => bursts.map(unused).collect(),
    };
    Answer::new(binding, windows, Source::FailedOpen(failure))
}

/// By this instance's share. A cost above the share, but not above the limit, is not denied for
/// ever: nobody can decide it now.
fn locally(
    memory: &Memory,
    instances: u32,
    verb: Verb,
    key: &[u8],
    call: Call<'_>,
    failure: Failure,
) -> Result<Answer, Error> {
    let share = call.policy.share(instances);
    let answer = match memory.ask(verb, key, &Call { policy: &share, ..call }.to_core()?) {
        Err(Error::MemoryFull(_)) => return Err(Error::Unavailable(failure)),
        answer => answer?,
    };
    let never = call.policy.windows().iter().any(|pair| call.cost > pair.burst);
    if answer.retry() == Retry::Never && !never {
        return Err(Error::Unavailable(failure));
    }
    Ok(Answer { source: Source::Local(failure), ..answer })
}
