//! `RATELIMIT.PEEK`: shows what CHECK would decide, and counts nothing.
//! Its words are [`ratelimit_core::command::SYNTAX`].

use std::ffi::CStr;

use ratelimit_core::policy::MAX_PAIRS;
use ratelimit_core::{decide, Mode};

use super::{by_size, ARGUMENTS, COMPLEXITY};
use crate::error::Error;
use crate::ffi::{Arguments, Command, CommandInfo, Context, KeyAccess, Keys};
use crate::store::{Access, Key};
use crate::{arguments, clock, reply};

pub(crate) struct Peek;

impl Command for Peek {
    const NAME: &'static CStr = c"ratelimit.peek";
    const FLAGS: &'static CStr = c"readonly fast";
    const INFO: Option<CommandInfo> = Some(CommandInfo {
        summary: c"Tells what RATELIMIT.CHECK would decide, and counts nothing",
        complexity: COMPLEXITY,
        since: c"0.1.0",
        acl_categories: c"read fast",
        arity: -4,
        keys: Keys { place: 1, counted: false, access: KeyAccess::Read },
        arguments: ARGUMENTS,
    });

    fn run(ctx: &Context, words: &Arguments) -> Result<(), Error> {
        by_size(ctx, words, peek::<1>, peek::<MAX_PAIRS>)
    }
}

#[inline(always)]
fn peek<const N: usize>(ctx: &Context, words: &Arguments) -> Result<(), Error> {
    let call = arguments::parse::<N>(words)?;
    let now = clock::now()?;
    let mut key = Key::open(ctx, words.key(), Access::Read);
    let outcome = decide(&call, key.stored()?, now, Mode::Peek)?;
    #[cfg(feature = "test-hooks")]
    crate::test_hooks::before_write();
    reply::outcome(ctx, &outcome);
    Ok(())
}
