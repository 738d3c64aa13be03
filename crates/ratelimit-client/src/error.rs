//! Why there is no answer. Never to be taken for "allowed".

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::Failure;

/// Why a check has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's own.
    #[error("cost must be an integer between 1 and 1000000000000")]
    Cost,
    /// The server could not be asked in time, and nothing is to pass without it.
    #[error("the rate limit could not be checked: {0}")]
    Unavailable(Failure),
    /// The memory backend holds as many keys as it may, and none of them has ended.
    #[error("all {0} keys of the memory backend are in use")]
    MemoryFull(usize),
    /// The server refuses this call, as it would the next one: the key holds something else, or an
    /// access rule forbids it.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server answered something that no rate limiter does.
    #[error("expected {expected}, but the server answered {got}")]
    Reply {
        /// What a rate limiter answers.
        expected: &'static str,
        /// What came instead, shortened.
        got: String,
    },
}

/// What came of asking a backend.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To be answered by what was chosen for a failure.
    Failed(Failure),
    /// To be told to the caller.
    Wrong(Error),
}

impl From<Error> for Asked {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

/// A server that says no to this one call is no failure; everything that another moment or another
/// server may answer better is.
impl From<RedisError> for Asked {
    fn from(error: RedisError) -> Self {
        use ServerErrorKind::{CrossSlot, NoPerm, NoScript, ResponseError};
        match error.kind() {
            ErrorKind::Server(ResponseError | CrossSlot | NoPerm | NoScript) => refused(&error),
            ErrorKind::Extension if error.code() == Some("WRONGTYPE") => refused(&error),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Wrong(Error::Reply {
                expected: "a reply in the server's protocol",
                got: shortened(error.to_string()),
            }),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => refused(&error),
            ErrorKind::Extension | ErrorKind::Server(_) => Self::Failed(Failure::Server),
            _ if error.is_timeout() => Self::Failed(Failure::Deadline),
            _ => Self::Failed(Failure::Connection),
        }
    }
}

fn refused(error: &RedisError) -> Asked {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    Asked::Wrong(Error::Refused(shortened(text)))
}

/// An answer may be as long as it likes.
pub(crate) fn shortened(mut text: String) -> String {
    const MOST: usize = 200;
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
