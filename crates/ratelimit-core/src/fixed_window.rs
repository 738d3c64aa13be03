//! FIXED: a counter of one window, which opens with the first allowed call.
//!
//! Allowed iff count + cost ≤ limit. At most `limit` pass in each window, and less than twice the
//! limit in any span of a window's length. All moments are whole milliseconds, because the end of
//! the window is the key's own expiry.
//!
//! Limit 5 in 60 s, 5 counted, the window ends in 12 s: denied, retry after 12000 ms.

use crate::decision::RetryAfter;
use crate::policy::{Pair, Window};
use crate::state::{State, StateError};
use crate::text::{Numbers, Writer};
use crate::time::Now;

/// One window's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    pub(crate) window: Window,
    pub(crate) end_ms: u64,
    pub(crate) count: u64,
}

impl State for FixedWindow {
    const TAG: &'static [u8; 2] = b"f1";
    const PLAIN_WHEN_ALONE: bool = true;

    fn unused(window: Window) -> Self {
        Self { window, end_ms: 0, count: 0 }
    }

    fn window(&self) -> Window {
        self.window
    }

    fn settle(self, pair: &Pair, now: Now) -> Self {
        if now.millis() < self.end_ms {
            self
        } else {
            Self::unused(pair.window)
        }
    }

    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter {
        if cost > pair.limit {
            RetryAfter::Never
        } else if self.count <= pair.limit - cost {
            RetryAfter::Now
        } else {
            RetryAfter::Millis(self.end_ms - now.millis())
        }
    }

    /// An open window keeps its end, even if the call has another window. The next window that
    /// opens has the length of the call.
    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self {
        let opens = self.end_ms == 0;
        Self {
            window: pair.window,
            end_ms: if opens { now.millis() + pair.window.millis() } else { self.end_ms },
            count: self.count + cost,
        }
    }

    fn remaining(&self, pair: &Pair, _: Now) -> u64 {
        pair.limit.saturating_sub(self.count)
    }

    fn reset_after_ms(&self, now: Now) -> u64 {
        self.end_ms.saturating_sub(now.millis())
    }

    fn expiry_ms(&self) -> u64 {
        self.end_ms
    }

    fn read(window: Window, numbers: &mut Numbers) -> Option<Self> {
        Some(Self { window, end_ms: numbers.next()?, count: numbers.next()? })
    }

    fn write(&self, text: &mut Writer) {
        text.number(self.end_ms);
        text.number(self.count);
    }

    #[inline(always)]
    fn read_plain(
        count: u64,
        end_ms: u64,
        pairs: &[Pair],
        now: Now,
    ) -> Result<(usize, Self), StateError> {
        let i = owner_of_plain(end_ms.saturating_sub(now.millis()), pairs);
        Ok((i, Self { window: pairs[i].window, end_ms, count }))
    }

    fn plain_count(&self) -> Option<u64> {
        Some(self.count)
    }
}

/// The index of the pair that a plain count belongs to. The count has an end but no window, so it
/// goes to the pair with the shortest window that is at least as long as the time left. If every
/// window is shorter, it goes to the pair with the longest.
#[inline(always)]
fn owner_of_plain(left_ms: u64, pairs: &[Pair]) -> usize {
    if let [_] = pairs {
        return 0;
    }
    let window = |&i: &usize| pairs[i].window;
    let long_enough = (0..pairs.len()).filter(|i| window(i).millis() >= left_ms);
    long_enough.min_by_key(window).or((0..pairs.len()).max_by_key(window)).unwrap_or(0)
}
