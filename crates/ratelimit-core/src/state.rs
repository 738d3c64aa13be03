//! What stands under a key, and what every algorithm must say of its part of it.

use core::fmt;

use crate::decision::RetryAfter;
use crate::policy::{Pair, Window};
use crate::text::{Numbers, Writer};
use crate::time::Now;

/// A string and its expiry, as the server shows them.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The string's bytes.
    pub value: &'a [u8],
    /// Milliseconds since 1970; `None`: the key never expires.
    pub expiry_ms: Option<u64>,
}

/// Why a string cannot be used. It is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A word, not a byte: ARCHITECTURE.md says why.
#[repr(u64)]
pub enum StateError {
    /// No limiter's key lives for ever.
    NoExpiry,
    /// Not in a form described above.
    Foreign,
    /// In the form of another algorithm than the call's.
    OtherAlgorithm,
}

impl StateError {
    /// Every error.
    pub const ALL: &'static [Self] = &[Self::NoExpiry, Self::Foreign, Self::OtherAlgorithm];

    /// What is wrong with the key, as one sentence. The shell adds the code `ERR`.
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

/// What one algorithm keeps for one pair, and its arithmetic.
///
/// `settle` comes first: it carries a stored state to `now`, under the pair of this call. The
/// others are asked of a settled state only.
pub(crate) trait State: Copy {
    /// Algorithm and format version, at the head of what is stored.
    const TAG: &'static [u8; 2];

    /// As if no call had ever come.
    fn unused(window: Window) -> Self;
    fn window(&self) -> Window;
    fn settle(self, pair: &Pair, now: Now) -> Self;

    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter;
    /// Asked only where `retry_after` is `Now`.
    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self;
    fn remaining(&self, pair: &Pair, now: Now) -> u64;
    fn reset_after_ms(&self, now: Now) -> u64;

    /// The end of what it encodes, rounded up.
    fn expiry_ms(&self) -> u64;
    /// The numbers behind the window; `None` where one is out of bounds.
    fn read(window: Window, numbers: &mut Numbers) -> Option<Self>;
    fn write(&self, text: &mut Writer);

    /// Whether a lone pair is stored as a plain number, without the tag. Only FIXED.
    const PLAIN_WHEN_ALONE: bool = false;
    /// That number.
    fn plain_count(&self) -> Option<u64> {
        None
    }
    /// The state that such a number is, and the place of its pair.
    fn read_plain(
        _count: u64,
        _end_ms: u64,
        _pairs: &[Pair],
        _now: Now,
    ) -> Result<(usize, Self), StateError> {
        Err(StateError::OtherAlgorithm)
    }
}
