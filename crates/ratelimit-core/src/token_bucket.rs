//! BUCKET: a bucket of `burst` tokens, refilled continuously at `limit` tokens per window, kept
//! as the theoretical arrival time (TAT) of the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! debt = TAT − now; one token takes one emission interval = window / limit to refill. Allowed iff
//! debt + cost × interval ≤ burst × interval. At most burst + limit × t / window pass in any span
//! t. One tick is 1/limit µs, so one token is `window_us` ticks. The bucket counts in ticks, which
//! are whole numbers, so it is exact at every rate. The remainder of the TAT is kept in ticks.
//!
//! Limit 6 in 60 s (one token in 10 s), debt 25 s: remaining = ⌊(60 − 25) / 10⌋ = 3.

use crate::decision::RetryAfter;
use crate::policy::{Pair, Window, MAX_LIMIT};
use crate::state::State;
use crate::text::{Numbers, Writer};
use crate::time::{ceil_millis, div_rem, Now};

/// The bucket is full again at `tat` + `remainder` / limit, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    window: Window,
    tat: u64,
    remainder: u64,
}

impl TokenBucket {
    /// What is missing from a full bucket, in ticks: below 2^93.
    fn debt(&self, pair: &Pair, now: Now) -> u128 {
        ticks(self.tat - now.micros(), pair.limit) + u128::from(self.remainder)
    }

    /// The TAT, rounded up to a whole microsecond.
    fn tat_ceil(&self) -> u64 {
        self.tat + u64::from(self.remainder > 0)
    }
}

/// `count` × `per_one`: below 2^93 for all factors used here.
fn ticks(count: u64, per_one: u64) -> u128 {
    u128::from(count) * u128::from(per_one)
}

// A policy refills within MAX_REFILL_MS, and at most `burst` tokens remain.
#[allow(clippy::cast_possible_truncation, reason = "each quotient is bounded")]
impl State for TokenBucket {
    const TAG: &'static [u8; 2] = b"b1";

    fn unused(window: Window) -> Self {
        Self { window, tat: 0, remainder: 0 }
    }

    fn window(&self) -> Window {
        self.window
    }

    /// A TAT in the past is no debt. A remainder is below the limit; if the limit has become
    /// smaller than the remainder, the remainder counts as one whole microsecond.
    fn settle(self, pair: &Pair, now: Now) -> Self {
        let window = pair.window;
        if self.tat < now.micros() {
            Self { window, tat: now.micros(), remainder: 0 }
        } else if self.remainder >= pair.limit {
            Self { window, tat: self.tat_ceil(), remainder: 0 }
        } else {
            Self { window, ..self }
        }
    }

    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter {
        if cost > pair.burst {
            return RetryAfter::Never;
        }
        let ticks_per_token = pair.window.micros();
        let debt_then = self.debt(pair, now) + ticks(cost, ticks_per_token);
        let capacity = ticks(pair.burst, ticks_per_token);
        if debt_then <= capacity {
            return RetryAfter::Now;
        }
        let (micros, rest) = div_rem(debt_then - capacity, pair.limit);
        RetryAfter::Millis(ceil_millis(micros as u64 + u64::from(rest > 0)))
    }

    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self {
        let debt = self.debt(pair, now) + ticks(cost, pair.window.micros());
        let (micros, remainder) = div_rem(debt, pair.limit);
        Self { window: pair.window, tat: now.micros() + micros as u64, remainder }
    }

    fn remaining(&self, pair: &Pair, now: Now) -> u64 {
        let ticks_per_token = pair.window.micros();
        let capacity = ticks(pair.burst, ticks_per_token);
        div_rem(capacity.saturating_sub(self.debt(pair, now)), ticks_per_token).0 as u64
    }

    fn reset_after_ms(&self, now: Now) -> u64 {
        ceil_millis(self.tat_ceil() - now.micros())
    }

    fn expiry_ms(&self) -> u64 {
        ceil_millis(self.tat_ceil())
    }

    #[inline(always)]
    fn read(window: Window, numbers: &mut Numbers) -> Option<Self> {
        let state = Self { window, tat: numbers.next()?, remainder: numbers.next()? };
        (state.remainder < MAX_LIMIT).then_some(state)
    }

    fn write(&self, text: &mut Writer) {
        text.number(self.tat);
        text.number(self.remainder);
    }
}
