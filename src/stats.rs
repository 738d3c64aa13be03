//! `INFO ratelimit`: what happened since the module was loaded.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ffi::{Context, Info};

/// Counted by the server's one command thread: so a load and a store serve, without a lock.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn count(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Calls of RATELIMIT.CHECK that consumed.
pub(crate) static ALLOWED: Counter = Counter::new();
/// Calls of RATELIMIT.CHECK that were denied.
pub(crate) static DENIED: Counter = Counter::new();
/// Error replies that the module gives, of both commands; a wrong arity is mostly the server's.
pub(crate) static ERRORS: Counter = Counter::new();
/// Allowed calls that were refused because their effect could not be replicated.
pub(crate) static REPLICATION_FAILURES: Counter = Counter::new();
/// Panics that ended in the guard.
pub(crate) static CAUGHT_PANICS: Counter = Counter::new();

const FIELDS: [(&CStr, &Counter); 5] = [
    (c"allowed", &ALLOWED),
    (c"denied", &DENIED),
    (c"errors", &ERRORS),
    (c"replication_failures", &REPLICATION_FAILURES),
    (c"caught_panics", &CAUGHT_PANICS),
];

pub(crate) fn register(ctx: &Context) {
    ctx.register_info();
}

/// The server asks for it on INFO.
pub(crate) fn tell(info: &Info) {
    if !info.open_section() {
        return;
    }
    for (name, counter) in FIELDS {
        info.field(name, counter.0.load(Relaxed));
    }
}
