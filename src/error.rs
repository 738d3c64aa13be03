//! What can go wrong in a call. The core owns the sentences of its own errors; here are those that
//! only the module can meet. The tests read this file too (`tests/harness/src/errors.rs`).

use ratelimit_core::{ArgumentError, ClockError, StateError};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Error {
    /// The reply is the server's own text, which names the command.
    Arity,
    Argument(ArgumentError),
    WrongType,
    State(StateError),
    Clock,
    OutOfMemory,
    Replication,
    Panic,
}

impl Error {
    /// The code and the sentence. Holds nothing that a client sent.
    pub(crate) fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Arity => ("ERR", "wrong number of arguments"),
            Self::Argument(error) => ("ERR", error.text()),
            Self::WrongType => {
                ("WRONGTYPE", "Operation against a key holding the wrong kind of value")
            }
            Self::State(error) => ("ERR", error.text()),
            Self::Clock => ("ERR", ClockError.text()),
            Self::OutOfMemory => ("OOM", "command not allowed when used memory > 'maxmemory'."),
            Self::Replication => ("ERR", "replication failed, nothing was changed"),
            Self::Panic => ("ERR", "internal error, nothing was changed; see the server log"),
        }
    }
}

impl From<ArgumentError> for Error {
    fn from(error: ArgumentError) -> Self {
        Self::Argument(error)
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<ClockError> for Error {
    fn from(_: ClockError) -> Self {
        Self::Clock
    }
}
