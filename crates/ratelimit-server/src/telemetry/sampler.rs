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
    /// The lines left out that no line has reported yet.
    unreported: AtomicU64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            second: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
        }
    }
}

impl Sampler {
    /// Whether one more line may be written now. If not, it counts as left out.
    pub(crate) fn permits(&self) -> bool {
        let now = self.start.elapsed().as_secs();
        if self.second.swap(now, Relaxed) != now {
            self.lines.store(0, Relaxed);
        }
        let is_permitted = self.lines.fetch_add(1, Relaxed) < MAX_LINES_PER_SECOND;
        if !is_permitted {
            self.unreported.fetch_add(1, Relaxed);
        }
        is_permitted
    }

    /// How many lines were left out since this was last asked.
    pub(crate) fn take_left_out(&self) -> Option<u64> {
        Some(self.unreported.swap(0, Relaxed)).filter(|left_out| *left_out > 0)
    }

    /// The same, once the flood is over: then no next line reports the number. To be asked each
    /// second.
    pub(crate) fn take_left_out_if_quiet(&self) -> Option<u64> {
        if self.is_quiet() {
            self.take_left_out()
        } else {
            None
        }
    }

    /// Whether no line was to be written in this second.
    fn is_quiet(&self) -> bool {
        self.start.elapsed().as_secs() != self.second.load(Relaxed)
    }
}
