//! What happened since the module was loaded, counted; `INFO ratelimit` shows it.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Only the server's command thread counts, so a plain load and a store are enough.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn count(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Calls of RATELIMIT.CHECK that were allowed.
pub(crate) static ALLOWED: Counter = Counter::new();
/// Calls of RATELIMIT.CHECK that were denied.
pub(crate) static DENIED: Counter = Counter::new();
/// Error replies of every command of the module. The server answers most calls of a wrong arity
/// itself: those are not counted.
pub(crate) static ERRORS: Counter = Counter::new();
/// Calls that were allowed, but answered with an error, because their effect could not be
/// replicated.
pub(crate) static REPLICATION_FAILURES: Counter = Counter::new();
/// Panics that the guard caught.
pub(crate) static CAUGHT_PANICS: Counter = Counter::new();

/// Each counter with its name, in the order in which INFO shows them.
pub(crate) const ALL: [(&CStr, &Counter); 5] = [
    (c"allowed", &ALLOWED),
    (c"denied", &DENIED),
    (c"errors", &ERRORS),
    (c"replication_failures", &REPLICATION_FAILURES),
    (c"caught_panics", &CAUGHT_PANICS),
];
