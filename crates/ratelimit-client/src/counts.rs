//! What a limiter has decided so far, to be exported as metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Answer, Error, Failure, Source};

/// How often each thing has happened since the limiter was built. CHECK and PEEK alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Answers that allowed.
    pub allowed: u64,
    /// Answers that denied.
    pub denied: u64,
    /// Of all answers, those of the module.
    pub module: u64,
    /// Of all answers, those of the Lua twin.
    pub script: u64,
    /// Of all answers, those of the memory backend.
    pub memory: u64,
    /// Of all answers, the denials that were known already.
    pub known_denials: u64,
    /// Of all answers, those that let a call pass uncounted because the server had failed.
    pub failed_open: u64,
    /// Of all answers, those by the local share because the server had failed.
    pub local: u64,
    /// Errors because the server had failed: see [`Error::Unavailable`].
    pub unavailable: u64,
    /// All other errors.
    pub errors: u64,
    /// Failures: no answer before the deadline.
    pub deadlines: u64,
    /// Failures of the connection.
    pub connection_failures: u64,
    /// Failures: the server could not decide.
    pub server_failures: u64,
    /// Times that the server was left alone because the circuit was open.
    pub circuit_open: u64,
}

/// The same, counting.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    allowed: AtomicU64,
    denied: AtomicU64,
    module: AtomicU64,
    script: AtomicU64,
    memory: AtomicU64,
    known_denials: AtomicU64,
    failed_open: AtomicU64,
    local: AtomicU64,
    unavailable: AtomicU64,
    errors: AtomicU64,
    deadlines: AtomicU64,
    connection_failures: AtomicU64,
    server_failures: AtomicU64,
    circuit_open: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, result: &Result<Answer, Error>) {
        let counter = match result {
            Ok(answer) => {
                let decided = if answer.is_allowed() { &self.allowed } else { &self.denied };
                decided.fetch_add(1, Relaxed);
                self.of_source(answer.source)
            }
            Err(Error::Unavailable(_)) => &self.unavailable,
            Err(_) => &self.errors,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn of_source(&self, source: Source) -> &AtomicU64 {
        match source {
            Source::Module => &self.module,
            Source::Script => &self.script,
            Source::Memory => &self.memory,
            Source::KnownDenial => &self.known_denials,
            Source::FailedOpen(_) => &self.failed_open,
            Source::Local(_) => &self.local,
        }
    }

    pub(crate) fn count_failure(&self, failure: Failure) {
        let counter = match failure {
            Failure::Deadline => &self.deadlines,
            Failure::Connection => &self.connection_failures,
            Failure::Server => &self.server_failures,
            Failure::CircuitOpen => &self.circuit_open,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Counts {
            allowed: read(&self.allowed),
            denied: read(&self.denied),
            module: read(&self.module),
            script: read(&self.script),
            memory: read(&self.memory),
            known_denials: read(&self.known_denials),
            failed_open: read(&self.failed_open),
            local: read(&self.local),
            unavailable: read(&self.unavailable),
            errors: read(&self.errors),
            deadlines: read(&self.deadlines),
            connection_failures: read(&self.connection_failures),
            server_failures: read(&self.server_failures),
            circuit_open: read(&self.circuit_open),
        }
    }
}
