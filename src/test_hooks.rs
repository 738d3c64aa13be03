//! `RATELIMIT.TEST CLOCK <us>|REAL`, `RATELIMIT.TEST PANIC` and `RATELIMIT.TEST FAIL-REPLICATION`:
//! a clock that stands still, and faults for the next call. Compiled only with the feature
//! `test-hooks`.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use crate::error::Error;
use crate::ffi::{Arguments, Command, CommandInfo, Context};
use ratelimit_core::ArgumentError;

const RUNNING: i64 = i64::MIN;
static CLOCK: AtomicI64 = AtomicI64::new(RUNNING);
static PANIC: AtomicBool = AtomicBool::new(false);
static FAIL_REPLICATION: AtomicBool = AtomicBool::new(false);

pub(crate) struct Test;

impl Command for Test {
    const NAME: &'static CStr = c"ratelimit.test";
    const FLAGS: &'static CStr = c"fast";
    const INFO: Option<CommandInfo> = None;

    fn run(ctx: &Context, words: &Arguments) -> Result<(), Error> {
        let words: Vec<_> = words.behind_name().collect();
        match words[..] {
            [b"CLOCK", b"REAL"] => CLOCK.store(RUNNING, Relaxed),
            [b"CLOCK", micros] => CLOCK.store(integer(micros)?, Relaxed),
            [b"PANIC"] => PANIC.store(true, Relaxed),
            [b"FAIL-REPLICATION"] => FAIL_REPLICATION.store(true, Relaxed),
            _ => return Err(ArgumentError::Syntax.into()),
        }
        ctx.reply_ok();
        Ok(())
    }
}

fn integer(word: &[u8]) -> Result<i64, Error> {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    number.ok_or(ArgumentError::Syntax.into())
}

pub(crate) fn frozen_clock() -> Option<i64> {
    Some(CLOCK.load(Relaxed)).filter(|&micros| micros != RUNNING)
}

pub(crate) fn before_write() {
    assert!(!PANIC.swap(false, Relaxed), "provoked by RATELIMIT.TEST PANIC");
}

pub(crate) fn replication_fails() -> bool {
    FAIL_REPLICATION.swap(false, Relaxed)
}
