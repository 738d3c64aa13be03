//! The limiter: from a call to an answer, whatever happens to the server.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use ratelimit_core::Algorithm;
use redis::aio::ConnectionLike;

use crate::builder::Builder;
use crate::call::{Call, Verb};
use crate::fallback::Resilient;
use crate::memory::Memory;
use crate::on_failure::OnFailure;
use crate::sync::lock;
use crate::{Answer, Counts, Error, Policy};

/// Decides calls by a server's module, its Lua twin, or memory. Cheap to clone; clones share all.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    backend: Decider,
    prefix: Vec<u8>,
    suffixes: bool,
    counts: Mutex<Counts>,
}

pub(crate) enum Decider {
    Memory(Memory),
    Server(Box<Resilient>),
}

impl Limiter {
    /// Asks a server, over any async connection of the crate `redis` that can be cloned.
    pub fn redis(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
        on_failure: OnFailure,
    ) -> Builder {
        Builder::redis(connection, on_failure)
    }

    /// Decides in the memory of this process, for at most `max_keys` keys at a time: for tests, and
    /// for a service on one machine. A new key above that is [`Error::MemoryFull`].
    pub fn memory(max_keys: usize) -> Builder {
        Builder::memory(max_keys)
    }

    pub(crate) fn new(backend: Decider, prefix: Vec<u8>, suffixes: bool) -> Self {
        Self(Arc::new(Shared { backend, prefix, suffixes, counts: Mutex::default() }))
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

    /// Makes the key as if unused. The policy tells its suffix, where there is one. Without a server
    /// it is [`Error::Unavailable`], whatever was chosen for a check.
    pub async fn reset<K>(&self, key: &K, policy: &Policy) -> Result<(), Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        let key = self.0.full_key(key.as_ref(), policy);
        match &self.0.backend {
            Decider::Memory(memory) => {
                memory.remove(&key);
                Ok(())
            }
            Decider::Server(resilient) => resilient.reset(&key, &self.0.counts).await,
        }
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        *lock(&self.0.counts)
    }

    async fn ask(&self, verb: Verb, call: Call<'_>) -> Result<Answer, Error> {
        let result = self.0.ask(verb, call).await;
        lock(&self.0.counts).count(&result);
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
            Decider::Memory(memory) => memory.ask(verb, &key, &core),
            Decider::Server(resilient) => resilient.ask(verb, &key, call, &self.counts).await,
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
}
