//! `RATELIMIT.CHECK`: decides a call, and counts it if it is allowed.
//! Its words are [`ratelimit_core::command::SYNTAX`].

use std::ffi::CStr;

use ratelimit_core::policy::MAX_PAIRS;
use ratelimit_core::{decide, Mode};

use super::{by_size, ARGUMENTS, COMPLEXITY};
use crate::error::Error;
use crate::ffi::{Arguments, Command, CommandInfo, Context, KeyAccess, Keys};
use crate::store::{Access, Key};
use crate::{arguments, clock, counters, replicate, reply};

pub(crate) struct Check;

impl Command for Check {
    const NAME: &'static CStr = c"ratelimit.check";
    const FLAGS: &'static CStr = c"write fast";
    const INFO: Option<CommandInfo> = Some(CommandInfo {
        summary: c"Checks whether a call is within a rate limit, and counts it if it is",
        complexity: COMPLEXITY,
        since: c"0.1.0",
        acl_categories: c"write fast",
        arity: -4,
        keys: Keys { place: 1, counted: false, access: KeyAccess::Update },
        arguments: ARGUMENTS,
    });

    fn run(ctx: &Context, words: &Arguments) -> Result<(), Error> {
        by_size(ctx, words, check::<1>, check::<MAX_PAIRS>)
    }
}

#[inline(always)]
fn check<const N: usize>(ctx: &Context, words: &Arguments) -> Result<(), Error> {
    let call = arguments::parse::<N>(words)?;
    let now = clock::now()?;
    let mut key = Key::open(ctx, words.key(), Access::Write);
    let mut next = None;
    let outcome = decide(&call, key.stored()?, now, Mode::Check(&mut next))?;
    #[cfg(feature = "test-hooks")]
    crate::test_hooks::before_write();
    if let Some(next) = &next {
        key.make_room()?;
        replicate::set(ctx, words.key(), next)?;
        key.write(next);
        counters::ALLOWED.count();
    } else {
        counters::DENIED.count();
    }
    reply::outcome(ctx, &outcome);
    Ok(())
}
