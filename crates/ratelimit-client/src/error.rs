//! Why there is no answer. Never to be taken for "allowed".

use std::fmt::{self, Write};

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
pub(crate) enum Unanswered {
    /// To be answered by what was chosen for a failure.
    Failed(Failure),
    /// To be told to the caller.
    Wrong(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

/// A server that says no to this one call is no failure; everything that another moment or another
/// server may answer better is.
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

/// The answer to a connection, before it is closed, at the setting `maxclients`.
fn has_no_room_for_clients(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.starts_with("max number of clients"))
}

fn refused(error: &RedisError) -> Unanswered {
    Unanswered::Wrong(Error::Refused(match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => beginning(format_args!("{code} {detail}")),
        _ => beginning(format_args!("{error}")),
    }))
}

/// As much of a text as one wants to read: an answer may be as long as it likes.
pub(crate) fn beginning(text: fmt::Arguments) -> String {
    let mut beginning = Beginning(String::new());
    if beginning.write_fmt(text).is_err() {
        beginning.0.push('…');
    }
    beginning.0
}

/// Takes 200 bytes, and then no more.
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
    fn what_was_answered_is_shown_up_to_a_bound() {
        assert_eq!(beginning(format_args!("{}", "short")), "short");
        let exact = "x".repeat(200);
        assert_eq!(beginning(format_args!("{exact}")), exact);
        assert_eq!(beginning(format_args!("{exact}y")), format!("{exact}…"));
        let wide = beginning(format_args!("x{}", "é".repeat(500)));
        assert_eq!(wide, format!("x{}…", "é".repeat(99)));
    }

    #[test]
    fn the_text_of_a_wrong_cost_is_the_servers() {
        let text = format!("ERR {}", Error::Cost);
        assert_eq!(text, ratelimit_harness::error_text("Cost"));
    }
}
