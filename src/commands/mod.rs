//! One command a file, and the guard that no panic passes.

pub(crate) mod check;
pub(crate) mod peek;

use std::ffi::CStr;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::error::Error;
use crate::ffi::{Arguments, CommandInfo, Context};
use crate::{reply, stats};

/// A command of the module.
pub(crate) trait Command {
    const NAME: &'static CStr;
    /// As `RedisModule_CreateCommand` has them.
    const FLAGS: &'static CStr;
    /// `None`: hidden from `COMMAND DOCS`, and without keys.
    const INFO: Option<CommandInfo>;

    /// Replies as its last act, or returns what is to be replied as an error.
    fn run(ctx: &Context, arguments: &Arguments) -> Result<(), Error>;
}

/// Every call passes here. An unwinding panic ends here, as an error reply: beyond lies C.
pub(crate) fn answer<C: Command>(ctx: &Context, arguments: &Arguments) {
    // Unwind safe: what a call changes are the server's keys, which it writes last, and counters.
    let outcome = catch_unwind(AssertUnwindSafe(|| C::run(ctx, arguments)));
    let error = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => {
            stats::CAUGHT_PANICS.count();
            ctx.log_warning("a panic was caught; please report it with the lines on stderr");
            Error::Panic
        }
    };
    stats::ERRORS.count();
    reply::error(ctx, error);
}
