//! From the server's strings to a call. The grammar itself is the core's.

use ratelimit_core::Call;

use crate::error::Error;
use crate::ffi::Arguments;

/// The command's name, the key, a limit and a window.
const LEAST: usize = 4;

pub(crate) fn parse(words: &Arguments) -> Result<Call, Error> {
    if words.len() < LEAST {
        return Err(Error::Arity);
    }
    Ok(Call::parse(words.behind_key())?)
}
