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
pub enum StateError {
    /// No limiter's key lives for ever.
    NoExpiry,
    /// Not in a form described above.
    Foreign,
    /// In the form of another algorithm than the call's.
    OtherAlgorithm,
}

/// What an allowed call leaves under the key.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    text: Text,
    /// Milliseconds since 1970.
    pub expiry_ms: u64,
}

impl Next {
    /// The string to store.
    pub fn value(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// The states that were stored, ascending by window.
pub(crate) struct Groups<S> {
    states: [Option<S>; MAX_PAIRS],
    len: usize,
}

impl<S: State> Groups<S> {
    fn none() -> Self {
        Self { states: [None; MAX_PAIRS], len: 0 }
    }

    fn push(&mut self, state: S) -> Option<()> {
        let ascends = self.last().is_none_or(|last| last.window() < state.window());
        *self.states.get_mut(self.len).filter(|_| ascends)? = Some(state);
        self.len += 1;
        Some(())
    }

    fn last(&self) -> Option<&S> {
        self.iter().last()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        self.states[..self.len].iter().flatten()
    }

    /// The only state, where there is one only.
    pub(crate) fn only(&self) -> Option<&S> {
        self.states[0].as_ref().filter(|_| self.len == 1)
    }
}

/// A key that has reached its expiry holds nothing, even where the server still shows it.
pub(crate) fn read<S: State>(
    stored: Option<Stored>,
    pairs: &[Pair],
    now: Now,
) -> Result<Groups<S>, StateError> {
    let Some(Stored { value, expiry_ms }) = stored else { return Ok(Groups::none()) };
    let expiry_ms = expiry_ms.ok_or(StateError::NoExpiry)?;
    if expiry_ms <= now.millis() {
        return Ok(Groups::none());
    }
    if expiry_ms > MAX_STORED {
        return Err(StateError::Foreign);
    }
    match value {
        [b'0'..=b'9', ..] => read_plain(value, expiry_ms, pairs, now),
        _ => read_groups(value).ok_or_else(|| other_or_foreign(value)),
    }
}

fn read_plain<S: State>(
    value: &[u8],
    end_ms: u64,
    pairs: &[Pair],
    now: Now,
) -> Result<Groups<S>, StateError> {
    let count = stored_number(value).ok_or(StateError::Foreign)?;
    let state = S::read_plain(count, end_ms, pairs, now).ok_or(StateError::OtherAlgorithm)?;
    let mut groups = Groups::none();
    groups.push(state).ok_or(StateError::Foreign)?;
    Ok(groups)
}

fn read_groups<S: State>(value: &[u8]) -> Option<Groups<S>> {
    let mut numbers = Numbers(value.strip_prefix(S::TAG)?);
    let mut groups = Groups::none();
    while !numbers.0.is_empty() {
        let window = Window::from_micros(numbers.next()?)?;
        groups.push(S::read(window, &mut numbers)?)?;
    }
    (groups.len >= S::LEAST_GROUPS).then_some(groups)
}

fn other_or_foreign(value: &[u8]) -> StateError {
    let known = read_groups::<FixedWindow>(value).is_some()
        || read_groups::<SlidingWindow>(value).is_some()
        || read_groups::<TokenBucket>(value).is_some();
    if known {
        StateError::OtherAlgorithm
    } else {
        StateError::Foreign
    }
}

/// The canonical string of the states, which are in the order called, and its expiry.
pub(crate) fn write<S: State>(states: &[S]) -> Next {
    let expiry_ms = states.iter().map(S::expiry_ms).max().unwrap_or(0);
    let mut text = Text::empty();
    match states {
        [only] if S::LEAST_GROUPS > 1 => only.write_plain(&mut text),
        _ => write_groups(states, &mut text),
    }
    Next { text, expiry_ms }
}

fn write_groups<S: State>(states: &[S], text: &mut Text) {
    text.push(S::TAG);
    let mut written = None;
    for _ in states {
        let unwritten = states.iter().filter(|state| Some(state.window()) > written);
        let Some(next) = unwritten.min_by_key(|state| state.window()) else { break };
        text.number(next.window().micros());
        next.write(text);
        written = Some(next.window());
    }
}

/// The numbers of a stored string, each behind one space.
pub(crate) struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// `None` at the end, and at whatever is no number.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let rest = self.0.strip_prefix(b" ")?;
        let len = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(len);
        self.0 = rest;
        stored_number(digits)
    }
}

fn stored_number(digits: &[u8]) -> Option<u64> {
    decimal(digits).filter(|&n| n <= MAX_STORED)
}

/// `0|[1-9][0-9]*`, and nothing else, as a number.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if let [b'0', _, ..] | [] = digits {
        return None;
    }
    let mut number = 0u64;
    for &b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

/// A stored string while it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    bytes: [u8; Text::MAX],
    len: usize,
}

impl Text {
    /// A tag and eight groups of four numbers below 2^53, each behind a space.
    const MAX: usize = 2 + MAX_PAIRS * 4 * 17;

    fn empty() -> Self {
        Self { bytes: [0; Self::MAX], len: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// A number, behind a space where something stands before it.
    pub(crate) fn number(&mut self, number: u64) {
        if self.len > 0 {
            self.push(b" ");
        }
        let mut digits = [0; 20];
        self.push(decimal_digits(number, &mut digits));
    }
}

/// `number` in decimal, in the end of `digits`.
pub fn decimal_digits(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}
