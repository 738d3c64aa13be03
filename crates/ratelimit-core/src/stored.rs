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

use crate::decimal::whole_number;
use crate::decision::NextOf;
use crate::fixed_window::FixedWindow;
use crate::policy::{Pair, Window, MAX_PAIRS};
use crate::sliding_window::SlidingWindow;
use crate::state::{State, StateError, Stored};
use crate::text::{Numbers, Writer, MAX_TEXT_LEN};
use crate::time::{Now, MAX_STORED};
use crate::token_bucket::TokenBucket;

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
    let least = if S::PLAIN_WHEN_ALONE { 2 } else { 1 };
    (least..=MAX_PAIRS).contains(&groups).then_some(groups)
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
