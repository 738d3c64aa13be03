//! What stands between a server and a caller who cannot wait: known denials, the deadline, the
//! circuit breaker, and what was chosen for a failure.

use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::breaker::Breaker;
use crate::call::{Call, Verb};
use crate::denials::Denials;
use crate::error::Unanswered;
use crate::memory::Memory;
use crate::on_failure::{Fallback, OnFailure};
use crate::server::Server;
use crate::sync::lock;
use crate::{Answer, Counts, Error, Failure, Policy, Quota, Retry, Source, Standing};

/// A server, and all of that.
pub(crate) struct Resilient {
    pub(crate) server: Server,
    pub(crate) on_failure: OnFailure,
    pub(crate) breaker: Breaker,
    pub(crate) denials: Option<Denials>,
    pub(crate) local: Option<Memory>,
    /// Waits of this process are measured from here, by a clock that does not step.
    pub(crate) start: Instant,
}

impl Resilient {
    pub(crate) async fn ask(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        counts: &Mutex<Counts>,
    ) -> Result<Answer, Error> {
        let asked_ms = self.now_ms();
        if let Some(known) = self.known_denial(verb, key, &call, asked_ms) {
            return Ok(known);
        }
        match self.guarded(self.server.ask(verb, key, call, asked_ms), counts).await {
            Ok(answer) => {
                if let Some(denials) = &self.denials {
                    denials.learn(key, &call, &answer, asked_ms, self.now_ms());
                }
                Ok(answer)
            }
            Err(Unanswered::Wrong(error)) => Err(error),
            Err(Unanswered::Failed(failure)) => self.without_server(verb, key, call, failure),
        }
    }

    /// A PEEK asks how the key stands, so that it is always asked of the server.
    fn known_denial(&self, verb: Verb, key: &[u8], call: &Call, now_ms: u64) -> Option<Answer> {
        let denials = self.denials.as_ref().filter(|_| verb == Verb::Check)?;
        denials.get(key, call, now_ms)
    }

    pub(crate) async fn reset(&self, key: &[u8], counts: &Mutex<Counts>) -> Result<(), Error> {
        let deleted = self.guarded(self.server.delete(key), counts).await;
        if let Some(local) = &self.local {
            local.remove(key);
        }
        if let Some(denials) = &self.denials {
            denials.forget(key);
        }
        deleted.map_err(|asked| match asked {
            Unanswered::Wrong(error) => error,
            Unanswered::Failed(failure) => Error::Unavailable(failure),
        })
    }

    /// Within the deadline, and not at all while the circuit is open.
    async fn guarded<T>(
        &self,
        asking: impl Future<Output = Result<T, Unanswered>>,
        counts: &Mutex<Counts>,
    ) -> Result<T, Unanswered> {
        let result = if !self.breaker.permits(self.now_ms()) {
            Err(Unanswered::Failed(Failure::CircuitOpen))
        } else {
            let answered = tokio::time::timeout(self.on_failure.deadline, asking).await;
            let result = answered.unwrap_or(Err(Unanswered::Failed(Failure::Deadline)));
            match &result {
                Err(Unanswered::Failed(Failure::Deadline | Failure::Connection)) => {
                    self.breaker.failed(self.now_ms());
                }
                // A server that answers costs nobody the deadline, and may decide the next call: out
                // of memory it refuses new keys alone.
                _ => self.breaker.succeeded(),
            }
            result
        };
        if let Err(Unanswered::Failed(failure)) = &result {
            lock(counts).count_failure(*failure);
        }
        result
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// What the caller chose for this case.
    fn without_server(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        failure: Failure,
    ) -> Result<Answer, Error> {
        match (self.on_failure.fallback, &self.local) {
            (Fallback::Open, _) => Ok(unused(call.policy, failure)),
            (Fallback::Local { instances, .. }, Some(memory)) => {
                locally(memory, instances, verb, key, call, failure)
            }
            _ => Err(Error::Unavailable(failure)),
        }
    }
}

/// The numbers of a policy that nobody has used: what else could be said where nobody counts?
fn unused(policy: &Policy, failure: Failure) -> Answer {
    let unused = |burst| Standing {
        quota: Quota { limit: burst, remaining: burst, reset_after: Duration::ZERO },
        retry: Retry::Now,
    };
    let bursts = policy.pairs().iter().map(|pair| pair.burst);
    let binding = unused(bursts.clone().min().unwrap_or(0));
    let windows = match policy.pairs() {
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
    let never = call.policy.pairs().iter().any(|pair| call.cost > pair.burst);
    if answer.retry() == Retry::Never && !never {
        return Err(Error::Unavailable(failure));
    }
    Ok(Answer { source: Source::Local(failure), ..answer })
}
