//! The moment of a decision, in microseconds since 1970, and the divisions that the algorithms
//! share.

use core::fmt;

/// 366 days, the longest window, in milliseconds.
pub const MAX_WINDOW_MS: u64 = 366 * DAY_MS;
/// 3660 days, the longest time in which a bucket may refill, in milliseconds.
pub const MAX_REFILL_MS: u64 = 3660 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The largest stored number: below 2^53, so that a Lua script can read it exactly.
pub const MAX_STORED: u64 = (1 << 53) - 1;

/// The server's clock when the call was made.
///
/// It is early enough that a moment plus twice the longest refill stays below 2^53 µs (the year
/// 2255). So no sum of a moment and a wait overflows, and every such sum can be stored exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(u64);

impl Now {
    /// The latest moment of a decision, in microseconds: in the year 2235.
    pub const MAX_MICROS: u64 = MAX_STORED - 2 * MAX_REFILL_MS * 1000;

    /// A moment in microseconds since 1970.
    ///
    /// # Errors
    /// If the moment is before 1970 or after [`Now::MAX_MICROS`].
    pub fn from_micros(micros: i64) -> Result<Self, ClockError> {
        match u64::try_from(micros) {
            Ok(micros) if micros <= Self::MAX_MICROS => Ok(Self(micros)),
            _ => Err(ClockError),
        }
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since 1970, rounded down.
    pub fn millis(self) -> u64 {
        self.0 / 1000
    }
}

/// The clock is before 1970 or after [`Now::MAX_MICROS`], so no decision can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockError;

impl ClockError {
    /// What is wrong, as one sentence. The module puts the code `ERR` before it.
    pub const fn text(self) -> &'static str {
        "server clock is out of range"
    }
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ClockError {}

/// Microseconds as milliseconds, rounded up: an announced wait may be too long, never too short.
pub(crate) fn ceil_millis(micros: u64) -> u64 {
    micros.div_ceil(1000)
}

/// ⌊a / b⌋ and the remainder. A division of 128 bits is slow, so it is used only if `a` needs it.
#[allow(clippy::cast_possible_truncation, reason = "a remainder is less than b")]
pub(crate) fn div_rem(a: u128, b: u64) -> (u128, u64) {
    match u64::try_from(a) {
        Ok(a) => ((a / b).into(), a % b),
        Err(_) => (a / u128::from(b), (a % u128::from(b)) as u64),
    }
}
