//! The one step from a call and what is stored to a decision and what is to be stored, for
//! every algorithm and any number of pairs.

use crate::decision::{NextOf, OutcomeOf};
use crate::fixed_window::FixedWindow;
use crate::policy::{Algorithm, CallOf};
use crate::sliding_window::SlidingWindow;
use crate::state::{State, StateError, Stored};
use crate::stored;
use crate::time::Now;
use crate::token_bucket::TokenBucket;

/// What RATELIMIT.CHECK does: the outcome, and what is to be stored if the call consumed.
pub fn check<const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
) -> Result<(OutcomeOf<N>, Option<NextOf<N>>), StateError> {
    let mut next = None;
    let outcome = decide(call, stored, now, Mode::Check(&mut next))?;
    Ok((outcome, next))
}

/// What RATELIMIT.PEEK does: what [`check`] would decide, described as it stands.
pub fn peek<const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
) -> Result<OutcomeOf<N>, StateError> {
    decide(call, stored, now, Mode::Peek)
}

/// Whether an allowed call consumes.
#[derive(Debug)]
pub enum Mode<'a, const N: usize> {
    /// It does, and what is to be stored is put here.
    Check(&'a mut Option<NextOf<N>>),
    /// It does not.
    Peek,
}

/// [`check`] and [`peek`] for who counts instructions.
///
/// FIXED decides in registers; the copies are for the others, which need the call in memory.
#[inline(always)]
pub fn decide<const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
    mode: Mode<N>,
) -> Result<OutcomeOf<N>, StateError> {
    match call.policy.algorithm() {
        Algorithm::Fixed => decide_by::<FixedWindow, N>(call, stored, now, mode),
        Algorithm::Sliding => decide_by::<SlidingWindow, N>(&{ *call }, stored, now, mode),
        Algorithm::Bucket => decide_by::<TokenBucket, N>(&{ *call }, stored, now, mode),
    }
}

/// All pairs must allow, or none consumes.
#[inline(always)]
fn decide_by<S: State, const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
    mode: Mode<N>,
) -> Result<OutcomeOf<N>, StateError> {
    let pairs = call.policy.pairs();
    let mut states = [S::unused(pairs[0].window); N];
    let states = &mut states[..pairs.len()];
    stored::read(stored, pairs, now, states)?;
    let mut outcome = OutcomeOf::blank(pairs.len());
    for (i, (state, pair)) in states.iter_mut().zip(pairs).enumerate() {
        *state = state.settle(pair, now);
        outcome.judge(i, pair.burst, state.retry_after(pair, now, call.cost));
    }
    if let (Mode::Check(next), true) = (mode, outcome.allowed()) {
        for (state, pair) in states.iter_mut().zip(pairs) {
            *state = state.consume(pair, now, call.cost);
        }
        stored::write(states, next.insert(NextOf::blank()));
    }
    for (i, (state, pair)) in states.iter().zip(pairs).enumerate() {
        outcome.describe(i, state.remaining(pair, now), state.reset_after_ms(now));
    }
    Ok(outcome)
}
