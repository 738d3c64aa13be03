//! The stored string of each algorithm. A state has exactly one form, and only that form is read.
//!
//! ```text
//! 17                                                FIXED, one pair: the count, as scripts keep it
//! f1 <window_us> <end_ms> <count> …                 FIXED, several pairs
//! s1 <window_us> <start_us> <previous> <current> …  SLIDING
//! b1 <window_us> <tat_us> <remainder> …             BUCKET
//! ```
//!
//! First a tag for the algorithm and the version of the form, then a group of numbers for each
//! pair, in ascending order of their windows. Single spaces; decimal numbers below 2^53 without
//! leading zeros. Any other string is foreign: an error, and it stays as it is.

use crate::decimal::whole_number;
use crate::decision::NextOf;
use crate::fixed_window::FixedWindow;
use crate::policy::{Pair, Window, MAX_PAIRS};
use crate::sliding_window::SlidingWindow;
use crate::state::{State, StateError, Stored};
use crate::text::{Numbers, Writer, MAX_TEXT_LEN};
use crate::time::{Now, MAX_STORED};
use crate::token_bucket::TokenBucket;

/// Reads the stored string into `states`, which has one unused state for each pair. A state whose
/// key has reached its expiry no longer counts, even if the server still shows it. A foreign string
/// is an error even then.
#[inline(always)]
pub(crate) fn read<S: State>(
    stored: Option<Stored>,
    pairs: &[Pair],
    now: Now,
    states: &mut [S],
) -> Result<(), StateError> {
    let Some(Stored { value, expiry_ms }) = stored else { return Ok(()) };
    let expiry_ms = expiry_ms.ok_or(StateError::NoExpiry)?;
    if value.len() > MAX_TEXT_LEN {
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
    // If one pair is stored and the call has one pair, they are the same limit, even if the window
    // has changed. If several are stored, the first must have the call's window.
    if groups > 1 && states[0].window() != pairs[0].window {
        states[0] = S::unused(pairs[0].window);
    }
    Ok(())
}

/// Reads each group into the state of its pair. Returns the number of groups, or `None` if the
/// string is not a state of this algorithm.
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
    let least = if S::PLAIN_WHEN_ALONE { 2 } else { 1 };
    (least..=MAX_PAIRS).contains(&groups).then_some(groups)
}

/// The index of the pair that a stored group belongs to: the pair with the same window. If the call
/// has a single pair, the first group belongs to that pair. `None` if there is no such pair; the
/// group is dropped.
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

/// Whether the string is a state of any algorithm.
#[cold]
fn is_state(value: &[u8]) -> bool {
    whole_number(value).is_some()
        || read_groups::<FixedWindow>(value, &[], &mut []).is_some()
        || read_groups::<SlidingWindow>(value, &[], &mut []).is_some()
        || read_groups::<TokenBucket>(value, &[], &mut []).is_some()
}

/// Writes the string of the states, and its expiry. The states are in the order of the call's
/// pairs.
pub(crate) fn write<S: State, const N: usize>(states: &[S], next: &mut NextOf<N>) {
    next.expiry_ms = states.iter().map(S::expiry_ms).max().unwrap_or(0);
    if let [only] = states {
        next.plain_count = only.plain_count();
    }
    match next.plain_count {
        Some(count) => next.text.writer().number(count),
        None => write_groups(states, &mut next.text.writer()),
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
