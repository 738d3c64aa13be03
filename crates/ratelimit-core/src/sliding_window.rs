//! SLIDING: two windows in a row, current and previous. A window that ends now covers all of the
//! current one and a share of the previous one; that share of the previous count is counted too.
//!
//! used = current + ⌈previous × (window − elapsed) / window⌉; allowed iff used + cost ≤ limit.
//! At most `limit` pass by this estimate, and less than twice the limit in any span of a window's
//! length. The estimate is from Cloudflare's "Counting things, a lot of different things" (2017);
//! there, windows begin at fixed clock times, and here with the first allowed call.
//!
//! Limit 10 in 60 s, previous 8, current 3, 15 s elapsed: used = 3 + ⌈8 × 45/60⌉ = 9, remaining 1.

use crate::decision::RetryAfter;
use crate::policy::{Pair, Window, MAX_LIMIT};
use crate::state::State;
use crate::text::{Numbers, Writer};
use crate::time::{ceil_millis, div_rem, Now};

/// Two windows in a row, of the same length. `start` is that of the current one, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    window: Window,
    start: u64,
    previous: u64,
    current: u64,
}

impl SlidingWindow {
    /// Microseconds since the start; 0 if the clock is before the start. So a clock that steps back
    /// refunds nothing.
    fn elapsed(&self, now: Now) -> u64 {
        now.micros().saturating_sub(self.start)
    }

    /// The estimate of the cost used, rounded up.
    #[allow(clippy::cast_possible_truncation, reason = "the share is at most `previous`")]
    #[inline(always)]
    fn used(&self, now: Now) -> u64 {
        if self.previous == 0 {
            return self.current;
        }
        let window = self.window.micros();
        let covered = u128::from(self.previous) * u128::from(window - self.elapsed(now));
        let (share, rest) = div_rem(covered, window);
        self.current + share as u64 + u64::from(rest > 0)
    }

    /// The time in microseconds after which a previous count has shrunk to `room`, which is below
    /// `count`: the least e with ⌈count × (window − e) / window⌉ ≤ room.
    #[allow(clippy::cast_possible_truncation, reason = "the quotient is less than the window")]
    fn decayed_at(&self, count: u64, room: u64) -> u64 {
        let window = self.window.micros();
        let (covered, _) = div_rem(u128::from(room) * u128::from(window), count);
        window - covered as u64
    }
}

impl State for SlidingWindow {
    const TAG: &'static [u8; 2] = b"s1";

    fn unused(window: Window) -> Self {
        Self { window, start: 0, previous: 0, current: 0 }
    }

    fn window(&self) -> Window {
        self.window
    }

    /// After one window, current becomes previous. After two windows, nothing counts any more.
    #[inline(always)]
    fn settle(self, pair: &Pair, now: Now) -> Self {
        let window = self.window.micros();
        let elapsed = self.elapsed(now);
        let settled = if elapsed < window {
            self
        } else if elapsed < 2 * window {
            Self { start: self.start + window, previous: self.current, current: 0, ..self }
        } else {
            Self::unused(pair.window)
        };
        if settled.previous == 0 && settled.current == 0 {
            return Self { start: now.micros(), ..Self::unused(pair.window) };
        }
        settled
    }

    #[inline(always)]
    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter {
        if cost > pair.limit {
            return RetryAfter::Never;
        }
        let room = pair.limit - cost;
        if self.used(now) <= room {
            return RetryAfter::Now;
        }
        let offset = if self.current <= room {
            self.decayed_at(self.previous, room - self.current)
        } else {
            self.window.micros() + self.decayed_at(self.current, room)
        };
        RetryAfter::Millis(ceil_millis(self.start + offset - now.micros()))
    }

    /// If the call's window is not the stored one, a new window opens now, and the cost used so far
    /// counts in it.
    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self {
        if self.window == pair.window {
            return Self { current: self.current + cost, ..self };
        }
        Self {
            window: pair.window,
            start: now.micros(),
            previous: 0,
            current: self.used(now) + cost,
        }
    }

    #[inline(always)]
    fn remaining(&self, pair: &Pair, now: Now) -> u64 {
        pair.limit.saturating_sub(self.used(now))
    }

    fn reset_after_ms(&self, now: Now) -> u64 {
        ceil_millis(self.end().saturating_sub(now.micros()))
    }

    fn expiry_ms(&self) -> u64 {
        ceil_millis(self.end())
    }

    #[inline(always)]
    fn read(window: Window, numbers: &mut Numbers) -> Option<Self> {
        let state = Self {
            window,
            start: numbers.next()?,
            previous: numbers.next()?,
            current: numbers.next()?,
        };
        (state.previous <= MAX_LIMIT && state.current <= MAX_LIMIT).then_some(state)
    }

    fn write(&self, text: &mut Writer) {
        text.number(self.start);
        text.number(self.previous);
        text.number(self.current);
    }
}

impl SlidingWindow {
    /// The first microsecond at which nothing counts any more.
    fn end(&self) -> u64 {
        let windows = if self.current > 0 {
            2
        } else if self.previous > 0 {
            1
        } else {
            0
        };
        self.start + windows * self.window.micros()
    }
}
