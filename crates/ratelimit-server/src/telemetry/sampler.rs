//! Bounds the number of log lines per second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Enough for a person to read.
const MAX_LINES_PER_SECOND: u64 = 10;

/// Decides which lines are written.
#[derive(Debug)]
pub(crate) struct Sampler {
    start: Instant,
    /// The last second (counted from the start) in which a line was to be written, and how many.
    second: AtomicU64,
    lines: AtomicU64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { start: Instant::now(), second: AtomicU64::new(0), lines: AtomicU64::new(0) }
    }
}

impl Sampler {
    /// Whether one more line may be written now.
    pub(crate) fn permits(&self) -> bool {
        let now = self.start.elapsed().as_secs();
        if self.second.swap(now, Relaxed) != now {
            self.lines.store(0, Relaxed);
        }
        self.lines.fetch_add(1, Relaxed) < MAX_LINES_PER_SECOND
    }

    /// Whether no line was to be written in this second.
    pub(crate) fn is_quiet(&self) -> bool {
        self.start.elapsed().as_secs() != self.second.load(Relaxed)
    }
}
