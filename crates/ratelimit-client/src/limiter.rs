//! The limiter: it makes a question of a call, and counts the answer.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use redis::aio::ConnectionLike;

use crate::builder::Builder;
use crate::call::{Call, KeySpace, Question, Verb};
use crate::counts::{Event, Tally};
use crate::fallback::Resilient;
use crate::memory::Memory;
use crate::on_failure::OnFailure;
use crate::{Answer, Counts, Error, Policy};

/// Decides calls by the module of a server, by the Lua script, or in memory. Cheap to clone; all
/// clones share one state.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    decider: Decider,
    keys: KeySpace,
    tally: Arc<Tally>,
}

pub(crate) enum Decider {
    Memory(Memory),
    Server(Box<Resilient>),
}

impl Limiter {
    /// A limiter over a server, by any async connection of the crate `redis` that can be cloned.
    pub fn redis(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
        on_failure: OnFailure,
    ) -> Builder {
        Builder::redis(connection, on_failure)
    }

    /// A limiter in the memory of this process, for at most `max_keys` keys at a time. It serves
    /// tests and services on one machine. A new key above that number is an [`Error::MemoryFull`].
    pub fn memory(max_keys: usize) -> Builder {
        Builder::memory(max_keys)
    }

    pub(crate) fn new(decider: Decider, keys: KeySpace, tally: Arc<Tally>) -> Self {
        Self(Arc::new(Shared { decider, keys, tally }))
    }

    /// Decides a call of cost 1, and counts it if it is allowed.
    ///
    /// # Errors
    /// See [`Error`]. An error is never to be taken for "allowed".
    pub async fn check<K>(&self, key: &K, policy: &Policy) -> Result<Answer, Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        self.check_call(Call::new(key, policy)).await
    }

    /// Answers as [`Limiter::check`] would, but counts nothing. The numbers describe the key as it
    /// stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn peek<K>(&self, key: &K, policy: &Policy) -> Result<Answer, Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        self.peek_call(Call::new(key, policy)).await
    }

    /// [`Limiter::check`] with any cost.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn check_call(&self, call: Call<'_>) -> Result<Answer, Error> {
        self.answer(Verb::Check, call).await
    }

    /// [`Limiter::peek`] with any cost.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn peek_call(&self, call: Call<'_>) -> Result<Answer, Error> {
        self.answer(Verb::Peek, call).await
    }

    /// [`Limiter::check_call`] for many independent calls at once. All calls are sent before the
    /// first answer is awaited, so one connection needs one round trip, and a cluster one to each
    /// node. Each call is decided by itself: one may be denied while another is allowed.
    pub async fn check_each(&self, calls: &[Call<'_>]) -> Vec<Result<Answer, Error>> {
        join_all(calls.iter().map(|&call| self.check_call(call))).await
    }

    /// [`Limiter::peek_call`] for many calls at once, sent as [`Limiter::check_each`] sends them.
    pub async fn peek_each(&self, calls: &[Call<'_>]) -> Vec<Result<Answer, Error>> {
        join_all(calls.iter().map(|&call| self.peek_call(call))).await
    }

    /// The remembered denial that [`Limiter::check_call`] would answer with. The server is not
    /// asked. `None` if no denial of this call is known ([`Builder::remember_denials`]).
    pub fn known_denial(&self, call: Call<'_>) -> Option<Answer> {
        let Decider::Server(resilient) = &self.0.decider else { return None };
        let question = Question::new(Verb::Check, call, &self.0.keys).ok()?;
        let answer = resilient.known_denial(&question)?;
        let result = Ok(answer);
        self.0.tally.note(&Event::Result(&result));
        result.ok()
    }

    /// Makes the key as if unused. The policy matters only with
    /// [`Builder::suffix_by_algorithm`], where it gives the suffix.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a server, or if the server does not permit `DEL`, even if the
    /// limiter fails open or decides locally.
    pub async fn reset<K>(&self, key: &K, policy: &Policy) -> Result<(), Error>
    where
        K: AsRef<[u8]> + ?Sized,
    {
        let key = self.0.keys.full_key(key.as_ref(), policy);
        match &self.0.decider {
            Decider::Memory(memory) => {
                memory.remove(&key);
                Ok(())
            }
            Decider::Server(resilient) => resilient.reset(&key).await,
        }
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        self.0.tally.read()
    }

    /// The text of the last failure of the server, for a log: `READONLY You can't write against a
    /// read only replica.` It holds no key and no control character. `None` if no call has failed.
    pub fn last_failure(&self) -> Option<String> {
        match &self.0.decider {
            Decider::Memory(_) => None,
            Decider::Server(resilient) => resilient.last_failure(),
        }
    }

    async fn answer(&self, verb: Verb, call: Call<'_>) -> Result<Answer, Error> {
        let result = self.0.decide(verb, call).await;
        self.0.tally.note(&Event::Result(&result));
        result
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Limiter").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Shared {
    async fn decide(&self, verb: Verb, call: Call<'_>) -> Result<Answer, Error> {
        let question = Question::new(verb, call, &self.keys)?;
        match &self.decider {
            Decider::Memory(memory) => memory.decide(&question),
            Decider::Server(resilient) => resilient.resolve(&question).await,
        }
    }
}
