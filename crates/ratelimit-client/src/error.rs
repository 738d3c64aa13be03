//! Errors: why there is no answer. An error is never to be taken for "allowed".

use ratelimit_core::StateError;
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
    /// The call cannot be decided, on this server or another, now or later: the key holds something
    /// else, or an argument is wrong.
    #[error("the server refused: {0}")]
    Refused(String),
}

/// Why a server gave no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The server failed, and the fallback answers. The text says more, or is empty.
    Failed(Failure, String),
    /// The call is wrong: the caller gets the error.
    Wrong(Error),
}

/// An error about this one call is no failure. Every other error is: a missing access right, an
/// internal error, and a reply that is no answer leave the call undecided.
impl From<RedisError> for Unanswered {
    fn from(error: RedisError) -> Self {
        let text = match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ => error.to_string(),
        };
        let failure = match error.kind() {
            _ if is_about_the_call(&error) => {
                return Self::Wrong(Error::Refused(shown(&text, b"")));
            }
            ErrorKind::Server(_) if has_no_room_for_clients(&error) => Failure::Connection,
            ErrorKind::Server(_)
            | ErrorKind::Extension
            | ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType => Failure::Server,
            _ if error.is_timeout() => Failure::Deadline,
            _ => Failure::Connection,
        };
        Self::Failed(failure, text)
    }
}

/// Whether the error is one of the core's about a key or an argument, or WRONGTYPE.
fn is_about_the_call(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or("");
    match error.kind() {
        ErrorKind::Extension => error.code() == Some("WRONGTYPE"),
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            StateError::ALL.iter().any(|known| known.text() == detail)
                || ArgumentError::all().any(|known| known.text() == detail)
        }
        _ => false,
    }
}

/// Above its setting `maxclients`, a server answers this to a new connection and closes it.
fn has_no_room_for_clients(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.starts_with("max number of clients"))
}

/// The most bytes of a peer's text that are shown: a reply may be of any length.
const MAX_SHOWN_BYTES: usize = 200;
/// A shorter key can be a part of any word. A server puts it into quotes.
const MIN_KEY_BYTES: usize = 4;
/// The words in quotes that are shown. Any other word in quotes may be a part of a key.
const QUOTED: [&str; 10] = [
    "ratelimit.check",
    "ratelimit.peek",
    "evalsha",
    "eval",
    "get",
    "set",
    "time",
    "pexpiretime",
    "del",
    "maxmemory",
];

/// What may be shown of a peer's text. The text ends before the key and before an unknown word in
/// quotes, so that a log without keys stays without keys. Control characters are replaced.
pub(crate) fn shown(text: &str, key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let of_key =
        Some(&*key).filter(|key| key.len() >= MIN_KEY_BYTES).and_then(|key| text.find(key));
    let end = [of_key, unknown_quote(text)].into_iter().flatten().min().unwrap_or(text.len());
    let bound = end.min(MAX_SHOWN_BYTES);
    let bound = (0..=bound).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text[..bound].chars().map(plain).collect();
    if bound < text.len() {
        shown.push('…');
    }
    shown
}

/// Where the first word in quotes stands that is not known. The apostrophe of "can't" is no quote.
fn unknown_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find(['\'', '"', '`']) {
        let at = from + found;
        let quote = text[at..].chars().next()?;
        let rest = &text[at + 1..];
        if text[..at].ends_with(char::is_alphanumeric) {
            from = at + 1;
            continue;
        }
        let word = rest.split(quote).next().unwrap_or(rest);
        if !QUOTED.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return Some(at);
        }
        from = (at + 1 + word.len() + 1).min(text.len());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_up_to_a_bound() {
        assert_eq!(shown("short", b""), "short");
        let exact = "x".repeat(200);
        assert_eq!(shown(&exact, b""), exact);
        assert_eq!(shown(&format!("{exact}y"), b""), format!("{exact}…"));
        assert_eq!(shown(&format!("x{}", "é".repeat(500)), b""), format!("x{}…", "é".repeat(99)));
    }

    #[test]
    fn no_part_of_a_key_and_no_control_character_is_shown() {
        let cases = [
            ("READONLY You can't write against a read only replica.", None),
            ("OOM command not allowed when used memory > 'maxmemory'.", None),
            ("NOPERM User x has no permissions to run the 'ratelimit.check' command", None),
            (
                "NOPERM User x has no permissions to access the 'user:7\u{1b}[31m' key",
                Some("NOPERM User x has no permissions to access the …"),
            ),
            (
                "ERR unknown command 'RATELIMIT.CHECK', with args beginning with: 'us' '5'",
                Some("ERR unknown command 'RATELIMIT.CHECK', with args beginning with: …"),
            ),
            ("ERR no user:7\u{1b}[31m here", Some("ERR no …")),
            ("ERR one\r\ntwo\u{1b}[31m", Some("ERR one??two?[31m")),
            ("ERR `get` '", Some("ERR `get` …")),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text, "user:7\u{1b}[31m".as_bytes()), expected.unwrap_or(text));
        }
    }
}
