//! A server with everything that protects its callers: remembered denials, the circuit breaker,
//! the deadline, and the fallback chosen for a failure.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::breaker::Breaker;
use crate::call::{Question, Verb};
use crate::counts::{Event, Tally};
use crate::denials::Denials;
use crate::error::{shown, Unanswered};
use crate::memory::Memory;
use crate::on_failure::{Fallback, OnFailure};
use crate::server::Server;
use crate::sync::lock;
use crate::time::millis;
use crate::{Answer, Error, Failure, Policy, Quota, Retry, Source, Standing};

/// Answers a question in three steps: what is known, what the server says, what was chosen for a
/// failure.
pub(crate) struct Resilient {
    pub(crate) server: Server,
    pub(crate) on_failure: OnFailure,
    pub(crate) breaker: Breaker,
    pub(crate) denials: Option<Denials>,
    pub(crate) local: Option<Memory>,
    pub(crate) tally: Arc<Tally>,
    /// The text of the last failure.
    pub(crate) last_failure: Mutex<Option<String>>,
    /// Times are measured from here, by a clock that never steps.
    pub(crate) start: Instant,
}

impl Resilient {
    pub(crate) async fn resolve(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let now_ms = self.now_ms();
        if let Some(answer) = self.known(question, now_ms) {
            return Ok(answer);
        }
        match self.asked(question, now_ms).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Wrong(error)) => Err(error),
            Err(Unanswered::Failed(failure, _)) => self.fall_back(question, failure),
        }
    }

    pub(crate) fn known_denial(&self, question: &Question) -> Option<Answer> {
        self.known(question, self.now_ms())
    }

    /// A peek describes the key as it stands on the server, so it is always sent there.
    fn known(&self, question: &Question, now_ms: u64) -> Option<Answer> {
        let denials = self.denials.as_ref().filter(|_| question.verb == Verb::Check)?;
        denials.get(question, now_ms)
    }

    async fn asked(&self, question: &Question<'_>, sent_ms: u64) -> Result<Answer, Unanswered> {
        let answer = self.guarded(&question.key, self.server.send(question, sent_ms)).await?;
        if let Some(denials) = &self.denials {
            denials.remember(question, &answer, sent_ms, self.now_ms());
        }
        Ok(answer)
    }

    fn fall_back(&self, question: &Question, failure: Failure) -> Result<Answer, Error> {
        match (self.on_failure.fallback, &self.local) {
            (Fallback::Open, _) => Ok(unused(question.policy, failure)),
            (Fallback::Local { instances, .. }, Some(memory)) => {
                self.decide_locally(memory, instances, question, failure)
            }
            _ => Err(Error::Unavailable(failure)),
        }
    }

    /// Decides by this instance's share of the policy. A cost above the share but within the limit
    /// could pass on the server, so it is unavailable rather than denied forever.
    fn decide_locally(
        &self,
        memory: &Memory,
        instances: u32,
        question: &Question,
        failure: Failure,
    ) -> Result<Answer, Error> {
        let share = question.policy.share(instances);
        let answer = match memory.decide(&question.under(&share)) {
            Err(full @ Error::MemoryFull(_)) => {
                *lock(&self.last_failure) = Some(full.to_string());
                return Err(Error::Unavailable(failure));
            }
            answer => answer?,
        };
        let is_never = question.policy.pairs().iter().any(|pair| question.cost > pair.burst);
        if answer.retry() == Retry::Never && !is_never {
            return Err(Error::Unavailable(failure));
        }
        Ok(Answer { source: Source::Local(failure), ..answer })
    }

    pub(crate) async fn reset(&self, key: &[u8]) -> Result<(), Error> {
        let deleted = self.guarded(key, self.server.delete(key)).await;
        if let Some(local) = &self.local {
            local.remove(key);
        }
        if let Some(denials) = &self.denials {
            denials.forget(key);
        }
        deleted.map_err(|unanswered| match unanswered {
            Unanswered::Wrong(error) => error,
            Unanswered::Failed(failure, _) => Error::Unavailable(failure),
        })
    }

    /// Awaits the server within the deadline, or not at all while the circuit is open.
    async fn guarded<T>(
        &self,
        key: &[u8],
        sending: impl Future<Output = Result<T, Unanswered>>,
    ) -> Result<T, Unanswered> {
        let result = if self.breaker.permits(self.now_ms()) {
            let answered = tokio::time::timeout(self.on_failure.deadline, sending).await;
            let late = || Unanswered::Failed(Failure::Deadline, String::new());
            let result = answered.unwrap_or_else(|_| Err(late()));
            self.inform_breaker(&result);
            result
        } else {
            Err(Unanswered::Failed(Failure::CircuitOpen, String::new()))
        };
        if let Err(Unanswered::Failed(failure, text)) = &result {
            self.tally.note(&Event::Failure(*failure));
            self.note_text(*failure, text, key);
        }
        result
    }

    /// An open circuit says nothing new: the failure that opened it stays the last one.
    fn note_text(&self, failure: Failure, text: &str, key: &[u8]) {
        if failure != Failure::CircuitOpen {
            let text = if text.is_empty() { failure.to_string() } else { shown(text, key) };
            *lock(&self.last_failure) = Some(text);
        }
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        lock(&self.last_failure).clone()
    }

    /// Any answer closes the circuit, even one that says "out of memory": the caller did not wait
    /// for the deadline, and the server may decide the next call.
    fn inform_breaker<T>(&self, result: &Result<T, Unanswered>) {
        match result {
            Err(Unanswered::Failed(Failure::Deadline | Failure::Connection, _)) => {
                self.breaker.failed(self.now_ms());
            }
            _ => self.breaker.succeeded(),
        }
    }

    fn now_ms(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

/// An answer with the numbers of an unused policy: nothing is counted, so nothing else is known.
fn unused(policy: &Policy, failure: Failure) -> Answer {
    let unused = |burst| Standing {
        quota: Quota { limit: burst, remaining: burst, reset_after: Duration::ZERO },
        retry: Retry::Now,
    };
    let bursts = policy.pairs().iter().map(|pair| pair.burst);
    let binding = unused(bursts.clone().min().unwrap_or(0));
    let standings = match policy.pairs() {
        [_] => Vec::new(),
        _ => bursts.map(unused).collect(),
    };
    Answer::new(binding, standings, Source::FailedOpen(failure))
}
