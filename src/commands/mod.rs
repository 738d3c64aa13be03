//! The commands, one a file, and the words that both take.

mod check;
mod peek;

use std::ffi::CStr;

use ratelimit_core::Algorithm;

use crate::arguments;
use crate::error::Error;
use crate::ffi::{Argument, Arguments, Context, Kind};

pub(crate) fn register(ctx: &Context) -> Result<(), &'static str> {
    ctx.register_command::<check::Check>()?;
    ctx.register_command::<peek::Peek>()?;
    #[cfg(feature = "test-hooks")]
    ctx.register_command::<crate::test_hooks::Test>()?;
    Ok(())
}

const COMPLEXITY: &CStr = c"O(N) where N is the number of limit and window pairs";

/// The words of `ratelimit_core::command::SYNTAX`; a test compares them.
const ARGUMENTS: &[Argument] = &[
    Argument::new("key", Kind::Key),
    Argument::new("pair", Kind::Block(PAIR)).repeated(),
    Argument::new("algorithm", Kind::OneOf(ALGORITHMS)).after("ALGORITHM").optional(),
    Argument::new("burst", Kind::Integer).after("BURST").optional(),
    Argument::new("cost", Kind::Integer).after("COST").optional(),
];

const PAIR: &[Argument] =
    &[Argument::new("limit", Kind::Integer), Argument::new("window", Kind::String)];

const ALGORITHMS: &[Argument] = &{
    let mut words = [Argument::word(""); Algorithm::ALL.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = Argument::word(Algorithm::ALL[i].name());
        i += 1;
    }
    words
};

/// Runs the form of a command for one pair, which nearly every call has, or the form for several.
#[inline(always)]
fn by_size(
    ctx: &Context,
    words: &Arguments,
    one: impl FnOnce(&Context, &Arguments) -> Result<(), Error>,
    several: impl FnOnce(&Context, &Arguments) -> Result<(), Error>,
) -> Result<(), Error> {
    if arguments::have_one_pair(words) {
        one(ctx, words)
    } else {
        apart(ctx, words, several)
    }
}

/// A function of its own, so that the path of several pairs takes no register from the path of one.
#[inline(never)]
fn apart(
    ctx: &Context,
    words: &Arguments,
    run: impl FnOnce(&Context, &Arguments) -> Result<(), Error>,
) -> Result<(), Error> {
    run(ctx, words)
}
