//! What is stored under a key, read strictly and written canonically.
//!
//! ```text
//! 17                                                FIXED, one pair: the count, as scripts keep it
//! f1 <window_us> <end_ms> <count> …                 FIXED, several pairs
//! s1 <window_us> <start_us> <previous> <current> …  SLIDING
//! b1 <window_us> <tat_us> <remainder> …             BUCKET
//! ```
//!
//! A tag for algorithm and format version, then a group a pair, by ascending window. Single
//! spaces, decimal numbers below 2^53 without leading zeros. Whatever is not exactly that is
//! somebody else's string, and refused.

use crate::algorithm::State;
use crate::decision::NextOf;
use crate::fixed_window::FixedWindow;
use crate::policy::MAX_PAIRS;
use crate::sliding_window::SlidingWindow;
use crate::time::MAX_STORED;
use crate::token_bucket::TokenBucket;
use crate::{Now, Pair, Window};

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

/// Puts what is stored into `states`, one for each pair, which are unused before. A state that has
/// reached its key's expiry is over, even where the server still shows it; somebody else's string is not
/// ours to end.
#[inline(always)]
pub(crate) fn read<S: State>(
    stored: Option<Stored>,
    pairs: &[Pair],
    now: Now,
    states: &mut [S],
) -> Result<(), StateError> {
    let Some(Stored { value, expiry_ms }) = stored else { return Ok(()) };
    let expiry_ms = expiry_ms.ok_or(StateError::NoExpiry)?;
    if value.len() > LONGEST {
        return Err(StateError::Foreign);
    }
    if expiry_ms <= now.millis() {
        return if is_state(value) { Ok(()) } else { Err(StateError::Foreign) };
    }
    if expiry_ms > MAX_STORED {
        return Err(StateError::Foreign);
    }
    if let [b'0'..=b'9', ..] = value {
        let count = whole_number(value).ok_or(StateError::Foreign)?;
        let (i, state) = S::read_plain(count, expiry_ms, pairs, now)?;
        states[i] = state;
        return Ok(());
    }
    let groups = read_groups(value, pairs, states).ok_or_else(|| other_or_foreign(value))?;
    // One pair stored and one called are the same limit, even if its window was changed.
    if groups > 1 && states[0].window() != pairs[0].window {
        states[0] = S::unused(pairs[0].window);
    }
    Ok(())
}

/// Puts each group into its owner's state; returns how many there are, or `None` where the string is not
/// exactly as described above.
#[inline(always)]
fn read_groups<S: State>(value: &[u8], pairs: &[Pair], states: &mut [S]) -> Option<usize> {
    let mut numbers = Numbers(value.strip_prefix(S::TAG)?);
    let mut groups = 0;
    let mut widest = None;
    while !numbers.0.is_empty() {
        let window = Window::from_micros(numbers.next()?)?;
        if Some(window) <= widest {
            return None;
        }
        let state = S::read(window, &mut numbers)?;
        if let Some(i) = owner(groups, window, pairs) {
            states[i] = state;
        }
        widest = Some(window);
        groups += 1;
    }
    (S::LEAST_GROUPS..=MAX_PAIRS).contains(&groups).then_some(groups)
}

/// A group is the pair's that has its window, and the first is a lone pair's; one that no pair has is
/// dropped.
#[inline(always)]
fn owner(group: usize, window: Window, pairs: &[Pair]) -> Option<usize> {
    if group == 0 && pairs.len() == 1 {
        return Some(0);
    }
    pairs.iter().position(|pair| pair.window == window)
}

#[cold]
fn other_or_foreign(value: &[u8]) -> StateError {
    if is_state(value) {
        StateError::OtherAlgorithm
    } else {
        StateError::Foreign
    }
}

/// Of whichever algorithm.
#[cold]
fn is_state(value: &[u8]) -> bool {
    whole_number(value).is_some()
        || read_groups::<FixedWindow>(value, &[], &mut []).is_some()
        || read_groups::<SlidingWindow>(value, &[], &mut []).is_some()
        || read_groups::<TokenBucket>(value, &[], &mut []).is_some()
}

/// The canonical string of the states, which are in the order called, and its expiry.
pub(crate) fn write<S: State, const N: usize>(states: &[S], next: &mut NextOf<N>) {
    next.expiry_ms = states.iter().map(S::expiry_ms).max().unwrap_or(0);
    match states {
        [only] if S::LEAST_GROUPS > 1 => only.write_plain(&mut next.text.writer()),
        _ => write_groups(states, &mut next.text.writer()),
    }
}

fn write_groups<S: State>(states: &[S], text: &mut Writer) {
    text.push(S::TAG);
    let mut written = None;
    while let Some(state) = narrowest_above(written, states) {
        text.number(state.window().micros());
        state.write(text);
        written = Some(state.window());
    }
}

fn narrowest_above<S: State>(written: Option<Window>, states: &[S]) -> Option<&S> {
    states.iter().filter(|state| Some(state.window()) > written).min_by_key(|state| state.window())
}

/// The numbers of a stored string, each behind one space.
pub(crate) struct Numbers<'a>(&'a [u8]);

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

/// The digits of the longest number that is stored or typed. A word that has more is not read: however
/// long it is, to refuse it takes no time.
const MOST_DIGITS: usize = 16;

/// `0|[1-9][0-9]*`, and nothing else.
#[inline(always)]
pub(crate) fn whole_number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > MOST_DIGITS || has_leading_zero(word) {
        return None;
    }
    match digits(0, word) {
        (number, []) if number <= MAX_STORED => Some(number),
        _ => None,
    }
}

/// `0|[1-9][0-9]*` and a unit behind it, if any.
#[inline(always)]
pub(crate) fn leading_number(word: &[u8]) -> Option<(u64, &[u8])> {
    if word.len() > MOST_DIGITS + "ms".len() {
        return None;
    }
    leading(word, digits(0, word))
}

/// `0|[1-9][0-9]*` and what follows it, quicker where there are many digits. The word is part of a stored
/// string, which is no longer than `LONGEST`.
#[inline(always)]
fn leading_long_number(word: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    let mut rest = word;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let Some(value) = eight_digits(*eight) else { break };
        number = number.wrapping_mul(100_000_000).wrapping_add(value);
        rest = behind;
    }
    leading(word, digits(number, rest))
}

/// The number read and the rest of the word, if what was read is a number.
#[inline(always)]
fn leading<'a>(word: &[u8], read: (u64, &'a [u8])) -> Option<(u64, &'a [u8])> {
    let number = &word[..word.len() - read.1.len()];
    ((1..=MOST_DIGITS).contains(&number.len()) && !has_leading_zero(number)).then_some(read)
}

fn has_leading_zero(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'0'
}

/// Goes on with `number` by the digits at the head of `rest`. It wraps only where there are too many.
#[inline(always)]
fn digits(mut number: u64, mut rest: &[u8]) -> (u64, &[u8]) {
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = behind;
    }
    (number, rest)
}

/// Eight digits at once, in the bytes of one word: first ten by ten, then hundred by hundred.
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

/// The longest group: a window of 14 digits, a moment of 16 and two counts of 13, each behind a
/// space. That leaves 4 bytes for the tag.
const LONGEST_GROUP: usize = 64;
/// A longer string is not looked at: whatever is stored, to refuse it takes no time.
const LONGEST: usize = LONGEST_GROUP * MAX_PAIRS;

/// Room for the stored string of up to `N` pairs.
#[derive(Clone, Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [[u8; LONGEST_GROUP]; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) fn empty() -> Self {
        Self { bytes: [[0; LONGEST_GROUP]; N], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes.as_flattened()[..self.len]
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer { bytes: self.bytes.as_flattened_mut(), len: &mut self.len }
    }
}

/// A stored string while it is written.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    len: &'a mut usize,
}

impl Writer<'_> {
    fn push(&mut self, bytes: &[u8]) {
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

/// How many digits `number` has in decimal.
pub fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// `number` in decimal into `digits`, which are exactly as many as it has. Two a step: the
/// divisions are what it costs.
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
    fn reads_eight_digits_like_the_standard_library_and_nothing_else() {
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
