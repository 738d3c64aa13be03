//! Errors: why there is no answer. An error is never to be taken for "allowed".

use std::fmt::{self, Write};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{ArgumentError, Failure};

/// Why a check has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cost of the call is out of bounds.
    #[error("{}", ArgumentError::Cost.text())]
    Cost,
    /// The server gave no decision in time, and the limiter fails closed.
    #[error("the rate limit could not be checked: {0}")]
    Unavailable(Failure),
    /// The memory backend holds as many keys as it may, and none of them has expired.
    #[error("all {0} keys of the memory backend are in use")]
    MemoryFull(usize),
    /// The server answered an error to this call, and would to the next one: the key holds
    /// something else, or an access rule forbids the command.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The reply is not one of a rate limiter.
    #[error("expected {expected}, but the server answered {got}")]
    Reply {
        /// The form of a reply.
        expected: &'static str,
        /// The beginning of the reply that came.
        got: String,
    },
}

/// Why a server gave no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The server failed: the fallback answers.
    Failed(Failure),
    /// The call is wrong, or the reply is: the caller gets the error.
    Wrong(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

/// An error about this one call is no failure. An error that may be gone at another moment, or on
/// another server, is a failure.
impl From<RedisError> for Unanswered {
    fn from(error: RedisError) -> Self {
        use ServerErrorKind::{CrossSlot, NoPerm, NoScript, ResponseError};
        match error.kind() {
            ErrorKind::Server(ResponseError) if has_no_room_for_clients(&error) => {
                Self::Failed(Failure::Connection)
            }
            ErrorKind::Server(ResponseError | CrossSlot | NoPerm | NoScript) => refused(&error),
            ErrorKind::Extension if error.code() == Some("WRONGTYPE") => refused(&error),
            ErrorKind::Extension | ErrorKind::Server(_) => Self::Failed(Failure::Server),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Wrong(Error::Reply {
                expected: "a reply in the server's protocol",
                got: beginning(format_args!("{error}")),
            }),
            _ if error.is_timeout() => Self::Failed(Failure::Deadline),
            _ => Self::Failed(Failure::Connection),
        }
    }
}

/// Above its setting `maxclients`, a server answers this to a new connection and closes it.
fn has_no_room_for_clients(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.starts_with("max number of clients"))
}

fn refused(error: &RedisError) -> Unanswered {
    Unanswered::Wrong(Error::Refused(match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => beginning(format_args!("{code} {detail}")),
        _ => beginning(format_args!("{error}")),
    }))
}

/// The first 200 bytes of a text: a reply may be of any length.
pub(crate) fn beginning(text: fmt::Arguments) -> String {
    let mut beginning = Beginning(String::new());
    if beginning.write_fmt(text).is_err() {
        beginning.0.push('…');
    }
    beginning.0
}

/// Takes 200 bytes, then fails.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = 200 - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_shown_up_to_a_bound() {
        assert_eq!(beginning(format_args!("{}", "short")), "short");
        let exact = "x".repeat(200);
        assert_eq!(beginning(format_args!("{exact}")), exact);
        assert_eq!(beginning(format_args!("{exact}y")), format!("{exact}…"));
        let wide = beginning(format_args!("x{}", "é".repeat(500)));
        assert_eq!(wide, format!("x{}…", "é".repeat(99)));
    }
}
