//! Numbers in decimal, read strictly and written fast.

use crate::time::MAX_STORED;

/// The largest stored number, [`MAX_STORED`], has this many digits. A longer word is rejected by
/// its length alone, so a very long word costs no time.
const MAX_DIGITS: usize = 16;

/// Reads a word that is exactly `0|[1-9][0-9]*`, at most [`MAX_STORED`].
#[inline(always)]
pub(crate) fn whole_number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > MAX_DIGITS || has_leading_zero(word) {
        return None;
    }
    match digits(0, word) {
        (number, []) if number <= MAX_STORED => Some(number),
        _ => None,
    }
}

/// Reads `0|[1-9][0-9]*` at the head of a word. Returns the number and the rest, which may be a
/// unit.
#[inline(always)]
pub(crate) fn leading_number(word: &[u8]) -> Option<(u64, &[u8])> {
    if word.len() > MAX_DIGITS + "ms".len() {
        return None;
    }
    leading(word, digits(0, word))
}

/// Like [`leading_number`], but faster for many digits. The word is a part of a stored string,
/// whose length the caller has checked.
#[inline(always)]
pub(crate) fn leading_long_number(word: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    let mut rest = word;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let Some(value) = eight_digits(*eight) else { break };
        number = number.wrapping_mul(100_000_000).wrapping_add(value);
        rest = after;
    }
    leading(word, digits(number, rest))
}

/// Returns `read`, the number and the rest of the word, if the digits before the rest are a number:
/// one digit or more, not too many, and no leading zero.
#[inline(always)]
fn leading<'a>(word: &[u8], read: (u64, &'a [u8])) -> Option<(u64, &'a [u8])> {
    let number = &word[..word.len() - read.1.len()];
    ((1..=MAX_DIGITS).contains(&number.len()) && !has_leading_zero(number)).then_some(read)
}

fn has_leading_zero(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'0'
}

/// Appends the digits at the head of `rest` to `number`. Returns the result and what follows them.
/// The number wraps around only if there are more than [`MAX_DIGITS`], which the callers reject.
#[inline(always)]
fn digits(mut number: u64, mut rest: &[u8]) -> (u64, &[u8]) {
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = after;
    }
    (number, rest)
}

/// Reads eight digits at once, in the bytes of one 64-bit word: joins them to pairs, then the pairs
/// to one number. `None` if one of them is not a digit.
/// From D. Lemire, "Quickly parsing eight digits" (2018).
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let high = |word: u64| word & (0xf0 * EACH);
    if high(word) != 0x30 * EACH || high(word.wrapping_add(6 * EACH)) != 0x30 * EACH {
        return None;
    }
    let tens = (word & (0x0f * EACH)) * 10 + (word >> 8 & (0x0f * EACH));
    let even = (tens & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let odd = (tens >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some(even.wrapping_add(odd) >> 32)
}

/// The number of digits that `number` has in decimal.
pub fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes `number` in decimal into `digits`, which must be as long as [`decimal_len`] says. Each
/// step writes two digits, because the divisions take most of the time.
#[allow(clippy::cast_possible_truncation, reason = "below 10 here, and below 100 in the loop")]
pub fn write_decimal(mut number: u64, digits: &mut [u8]) {
    let mut pairs = digits.rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&TWO_DIGITS[(number % 100) as usize]);
        number /= 100;
    }
    if let [first] = pairs.into_remainder() {
        *first = b'0' + number as u8;
    }
}

#[allow(clippy::cast_possible_truncation, reason = "each is a digit")]
const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut table = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 100 {
        table[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_eight_digits_as_the_standard_library_does() {
        assert_eq!(eight_digits(*b"12345678"), Some(12_345_678));
        assert_eq!(eight_digits(*b"99999999"), Some(99_999_999));
        assert_eq!(eight_digits(*b"00000000"), Some(0));
        for place in 0..8 {
            for byte in 0..=255u8 {
                let mut digits = *b"13579024";
                digits[place] = byte;
                let expected = core::str::from_utf8(&digits).ok().filter(|s| !s.contains('+'));
                let expected = expected.and_then(|s| s.parse().ok());
                assert_eq!(eight_digits(digits), expected, "{digits:?}");
            }
        }
    }
}
