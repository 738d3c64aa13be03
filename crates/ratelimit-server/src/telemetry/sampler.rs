//! At most so many log lines a second, however many there are to write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// More lines a second than that tell nobody more.
const MOST_LINES_A_SECOND: u64 = 10;

/// Says which lines are written.
#[derive(Debug)]
pub(crate) struct Sampler {
    start: Instant,
    /// The second since the start that was last asked for, and its lines.
    second: AtomicU64,
    lines: AtomicU64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { start: Instant::now(), second: AtomicU64::new(0), lines: AtomicU64::new(0) }
    }
}

impl Sampler {
    /// Whether one more may be written.
    pub(crate) fn permits(&self) -> bool {
        let now = self.start.elapsed().as_secs();
        if self.second.swap(now, Relaxed) != now {
            self.lines.store(0, Relaxed);
        }
        self.lines.fetch_add(1, Relaxed) < MOST_LINES_A_SECOND
    }

    /// Whether nobody has asked in this second.
    pub(crate) fn is_quiet(&self) -> bool {
        self.start.elapsed().as_secs() != self.second.load(Relaxed)
    }
}
