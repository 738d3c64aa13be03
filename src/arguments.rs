//! From the server's strings to a call. The grammar is in `ratelimit_core::command`.

use ratelimit_core::command::opens_pair;
use ratelimit_core::CallOf;

use crate::error::Error;
use crate::ffi::Arguments;

/// The place of the word after the command's name, the key, a limit and a window.
const BEHIND_FIRST_PAIR: usize = 4;

/// Whether the call has a single pair.
pub(crate) fn have_one_pair(words: &Arguments) -> bool {
    !words.get(BEHIND_FIRST_PAIR).is_some_and(opens_pair)
}

#[inline(always)]
pub(crate) fn parse<const N: usize>(words: &Arguments) -> Result<CallOf<N>, Error> {
    Ok(CallOf::parse(words.behind_key())?)
}
