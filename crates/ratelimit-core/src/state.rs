//! The string under a key, and what each algorithm must implement for its state.

use core::fmt;

use crate::decision::RetryAfter;
use crate::policy::{Pair, Window};
use crate::text::{Numbers, Writer};
use crate::time::Now;

/// A string and its expiry, as the server has them.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The string's bytes.
    pub value: &'a [u8],
    /// Milliseconds since 1970; `None` if the key never expires.
    pub expiry_ms: Option<u64>,
}

/// Why a stored string cannot be used. The string stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// An error of one byte would share a register with the value beside it in a `Result`. A whole word
// keeps both in registers (measured).
#[repr(u64)]
#[non_exhaustive]
pub enum StateError {
    /// The key never expires, and every key of a rate limiter does.
    NoExpiry,
    /// The string is not a state of any algorithm.
    Foreign,
    /// The string is a state, but not of the call's algorithm.
    OtherAlgorithm,
}

impl StateError {
    /// Every error.
    pub const ALL: &'static [Self] = &[Self::NoExpiry, Self::Foreign, Self::OtherAlgorithm];

    /// What is wrong with the key, as one sentence. The module puts the code `ERR` before it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoExpiry => "key has no expiry, so it is not a rate limiter's",
            Self::Foreign => "key holds a string that is not a rate limiter's state",
            Self::OtherAlgorithm => "key holds the state of another algorithm",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for StateError {}

/// The state that one algorithm keeps for one pair, and its arithmetic.
///
/// `settle` comes first: it brings a stored state to `now`, under the pair of this call. Every
/// other function with `now` needs a settled state.
pub(crate) trait State: Copy {
    /// The head of the stored string: a letter for the algorithm, and the version of the form.
    const TAG: &'static [u8; 2];

    /// The state before the first call.
    fn unused(window: Window) -> Self;
    fn window(&self) -> Window;
    fn settle(self, pair: &Pair, now: Now) -> Self;

    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter;
    /// Counts a call, for which `retry_after` must be `Now`.
    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self;
    fn remaining(&self, pair: &Pair, now: Now) -> u64;
    fn reset_after_ms(&self, now: Now) -> u64;

    /// The moment from which the state is as if unused, rounded up.
    fn expiry_ms(&self) -> u64;
    /// Reads the numbers after the window; `None` if one is missing or out of bounds.
    fn read(window: Window, numbers: &mut Numbers) -> Option<Self>;
    fn write(&self, text: &mut Writer);

    /// Whether a lone pair is stored as a plain count, without the tag. Only FIXED.
    const PLAIN_WHEN_ALONE: bool = false;
    /// The plain count, if the algorithm has one.
    fn plain_count(&self) -> Option<u64> {
        None
    }
    /// The state that a plain count stands for, and the index of its pair.
    fn read_plain(
        _count: u64,
        _end_ms: u64,
        _pairs: &[Pair],
        _now: Now,
    ) -> Result<(usize, Self), StateError> {
        Err(StateError::OtherAlgorithm)
    }
}
