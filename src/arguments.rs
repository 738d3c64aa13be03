//! From the server's strings to a call. The grammar itself is the core's.

use ratelimit_core::command::opens_pair;
use ratelimit_core::CallOf;

use crate::error::Error;
use crate::ffi::Arguments;

/// The place behind the command's name, the key, a limit and a window.
const BEHIND_FIRST_PAIR: usize = 4;

/// Whether room for one pair is enough.
pub(crate) fn have_one_pair(words: &Arguments) -> bool {
    !words.get(BEHIND_FIRST_PAIR).is_some_and(opens_pair)
}

#[inline(always)]
pub(crate) fn parse<const N: usize>(words: &Arguments) -> Result<CallOf<N>, Error> {
    Ok(CallOf::parse(words.behind_key())?)
}
