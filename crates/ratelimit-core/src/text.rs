//! The text of a state, of bounded length, written and read number by number.

use crate::decimal::{decimal_len, leading_long_number, write_decimal};
use crate::policy::MAX_PAIRS;
use crate::time::MAX_STORED;

/// The longest group has a window of 14 digits, a moment of 16 and two counts of 13, each after a
/// space: 60 bytes. That leaves 4 bytes for the tag.
const MAX_GROUP_LEN: usize = 64;
/// A longer string is rejected by its length alone, so a very long string costs no time.
pub(crate) const MAX_TEXT_LEN: usize = MAX_GROUP_LEN * MAX_PAIRS;

/// Room for the stored string of up to `N` pairs.
#[derive(Clone, Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [[u8; MAX_GROUP_LEN]; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) fn empty() -> Self {
        Self { bytes: [[0; MAX_GROUP_LEN]; N], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes.as_flattened()[..self.len]
    }

    pub(crate) fn writer(&mut self) -> Writer<'_> {
        Writer { bytes: self.bytes.as_flattened_mut(), len: &mut self.len }
    }
}

/// Appends to a stored string.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    len: &'a mut usize,
}

impl Writer<'_> {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends a number, with a space before it unless it comes first.
    pub(crate) fn number(&mut self, number: u64) {
        if *self.len > 0 {
            self.push(b" ");
        }
        write_decimal(number, self.room(decimal_len(number)));
    }

    fn room(&mut self, len: usize) -> &mut [u8] {
        let start = *self.len;
        *self.len += len;
        &mut self.bytes[start..*self.len]
    }
}

/// The rest of a stored string: numbers with one space before each.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    /// The next number; `None` if no valid number comes next.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<u64> {
        let [b' ', rest @ ..] = self.0 else { return None };
        let (number, rest) = leading_long_number(rest)?;
        self.0 = rest;
        (number <= MAX_STORED).then_some(number)
    }
}
