//! Counters of a limiter, to be exported as metrics.

use std::sync::Mutex;

use crate::sync::lock;
use crate::{Answer, Error, Failure, Source};

/// How often each thing has happened since the limiter was built, at one moment. Checks and peeks
/// count alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Answers that allowed.
    pub allowed: u64,
    /// Answers that denied.
    pub denied: u64,
    /// Answers from the module.
    pub module: u64,
    /// Answers from the Lua script.
    pub script: u64,
    /// Answers from the memory backend.
    pub memory: u64,
    /// Answers from remembered denials.
    pub known_denials: u64,
    /// Answers that allowed a call without counting it, because the server had failed.
    pub failed_open: u64,
    /// Answers by the local share of the limit, because the server had failed.
    pub local: u64,
    /// Errors because the server had failed: see [`Error::Unavailable`].
    pub unavailable: u64,
    /// All other errors.
    pub errors: u64,
    /// Failures: no answer before the deadline.
    pub deadlines: u64,
    /// Failures: no connection.
    pub connection_failures: u64,
    /// Failures: the server could not decide.
    pub server_failures: u64,
    /// Failures: the circuit breaker was open, and the server was not asked.
    pub circuit_open: u64,
}

/// Something that the limiter counts.
pub(crate) enum Event<'a> {
    /// A call has its result.
    Result(&'a Result<Answer, Error>),
    /// The server gave no decision.
    Failure(Failure),
}

/// The counters while they change.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    pub(crate) fn note(&self, event: &Event) {
        let mut counts = lock(&self.0);
        match event {
            Event::Result(result) => counts.count_result(result),
            Event::Failure(failure) => *counts.of_failure(*failure) += 1,
        }
    }

    pub(crate) fn read(&self) -> Counts {
        *lock(&self.0)
    }
}

impl Counts {
    fn count_result(&mut self, result: &Result<Answer, Error>) {
        *match result {
            Ok(answer) if answer.is_allowed() => &mut self.allowed,
            Ok(_) => &mut self.denied,
            Err(Error::Unavailable(_)) => &mut self.unavailable,
            Err(_) => &mut self.errors,
        } += 1;
        if let Ok(answer) = result {
            *self.of_source(answer.source) += 1;
        }
    }

    fn of_source(&mut self, source: Source) -> &mut u64 {
        match source {
            Source::Module => &mut self.module,
            Source::Script => &mut self.script,
            Source::Memory => &mut self.memory,
            Source::KnownDenial => &mut self.known_denials,
            Source::FailedOpen(_) => &mut self.failed_open,
            Source::Local(_) => &mut self.local,
        }
    }

    fn of_failure(&mut self, failure: Failure) -> &mut u64 {
        match failure {
            Failure::Deadline => &mut self.deadlines,
            Failure::Connection => &mut self.connection_failures,
            Failure::Server => &mut self.server_failures,
            Failure::CircuitOpen => &mut self.circuit_open,
        }
    }
}
