//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Far above what anything here takes on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(3);

/// Returns as soon as the condition holds; fails with `what` at the deadline.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
