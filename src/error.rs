//! Every error that a client can see: the only table of their texts.

use std::ffi::CStr;

use ratelimit_core::{ArgumentError, StateError};

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
    /// The code, a space and the text. Holds nothing that a client sent.
    pub(crate) fn text(self) -> &'static CStr {
        match self {
            Self::Arity => c"ERR wrong number of arguments",
            Self::Argument(error) => argument_text(error),
            Self::WrongType => c"WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::State(error) => state_text(error),
            Self::Clock => c"ERR server clock is out of range",
            Self::OutOfMemory => c"OOM command not allowed when used memory > 'maxmemory'.",
            Self::Replication => c"ERR replication failed, nothing was changed",
            Self::Panic => c"ERR internal error, nothing was changed; see the server log",
        }
    }
}

fn argument_text(error: ArgumentError) -> &'static CStr {
    match error {
        ArgumentError::Syntax => c"ERR syntax error",
        ArgumentError::Limit => c"ERR limit must be an integer between 0 and 1000000000000",
        ArgumentError::Window => {
            c"ERR window must be an integer with an optional unit ms, s, m, h or d, between 1ms and 366d"
        }
        ArgumentError::Cost => c"ERR cost must be an integer between 1 and 1000000000000",
        ArgumentError::Algorithm => c"ERR algorithm must be FIXED, SLIDING or BUCKET",
        ArgumentError::Burst => c"ERR burst must be an integer between 1 and 1000000000000",
        ArgumentError::TooManyPairs => c"ERR limit and window pairs must be at most 8",
        ArgumentError::SameWindow => c"ERR windows must all be different",
        ArgumentError::BurstAlgorithm => c"ERR burst requires ALGORITHM BUCKET",
        ArgumentError::BurstPairs => c"ERR burst requires a single limit and window pair",
        ArgumentError::BurstRefill => {
            c"ERR burst must refill within 3660d: burst x window must be at most limit x 3660d"
        }
    }
}

fn state_text(error: StateError) -> &'static CStr {
    match error {
        StateError::NoExpiry => c"ERR key has no expiry, so it is not a rate limiter's",
        StateError::Foreign => c"ERR key holds a string that is not a rate limiter's state",
        StateError::OtherAlgorithm => c"ERR key holds the state of another algorithm",
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
