//! The text of a state: at most so long, written and read number by number.

use crate::decimal::{decimal_len, leading_long_number, write_decimal};
use crate::policy::MAX_PAIRS;
use crate::time::MAX_STORED;

/// The longest group: a window of 14 digits, a moment of 16 and two counts of 13, each behind a
/// space. That leaves 4 bytes for the tag.
const MAX_GROUP_LEN: usize = 64;
/// A longer string is not looked at: whatever is stored, to refuse it takes no time.
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

/// A stored string while it is written.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    len: &'a mut usize,
}

impl Writer<'_> {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// A number, behind a space where something stands before it.
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

/// The numbers of a stored string, each behind one space.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    /// `None` at the end, and at whatever is no number.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<u64> {
        let [b' ', rest @ ..] = self.0 else { return None };
        let (number, rest) = leading_long_number(rest)?;
        self.0 = rest;
        (number <= MAX_STORED).then_some(number)
    }
}
