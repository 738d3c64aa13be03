//! What a limiter has decided so far, to be exported as metrics.

use crate::{Answer, Error, Failure, Source};

/// How often each thing has happened since the limiter was built, as of one moment. CHECK and PEEK
/// alike.
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

impl Counts {
    pub(crate) fn count(&mut self, result: &Result<Answer, Error>) {
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

    pub(crate) fn count_failure(&mut self, failure: Failure) {
        *match failure {
            Failure::Deadline => &mut self.deadlines,
            Failure::Connection => &mut self.connection_failures,
            Failure::Server => &mut self.server_failures,
            Failure::CircuitOpen => &mut self.circuit_open,
        } += 1;
    }
}
