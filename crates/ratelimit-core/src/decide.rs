//! The decision, for every algorithm and any number of pairs. *Settle* decides a call by the stored
//! string; *consume* counts the call and makes the next string.

use crate::decision::{NextOf, OutcomeOf};
use crate::fixed_window::FixedWindow;
use crate::policy::{Algorithm, CallOf};
use crate::sliding_window::SlidingWindow;
use crate::state::{State, StateError, Stored};
use crate::stored;
use crate::time::Now;
use crate::token_bucket::TokenBucket;

/// The step of RATELIMIT.CHECK: decides a call, and counts it if it is allowed. Returns the outcome
/// and, for an allowed call, what to store.
///
/// # Errors
/// If the stored string is not a state of the call's algorithm, or never expires.
pub fn check<const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
) -> Result<(OutcomeOf<N>, Option<NextOf<N>>), StateError> {
    let mut next = None;
    let outcome = decide(call, stored, now, Mode::Check(&mut next))?;
    Ok((outcome, next))
}

/// The step of RATELIMIT.PEEK: what [`check`] would decide, and how each pair stands now.
///
/// # Errors
/// Those of [`check`].
pub fn peek<const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
) -> Result<OutcomeOf<N>, StateError> {
    decide(call, stored, now, Mode::Peek)
}

/// Whether an allowed call is counted.
///
/// This enum is closed: a call is counted or not. Callers only make one, and match none.
#[derive(Debug)]
pub enum Mode<'a, const N: usize> {
    /// An allowed call is counted, and the next string is put here.
    Check(&'a mut Option<NextOf<N>>),
    /// An allowed call is not counted.
    Peek,
}

/// [`check`] and [`peek`] in one, for the module's hot path: settle and consume for one key.
///
/// `{ *call }` copies the call, so that the branch of FIXED can keep the original in registers.
///
/// # Errors
/// Those of [`check`].
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
    let mut outcome = OutcomeOf::blank(pairs.len());
    settle_pairs(call, stored, now, states, &mut outcome)?;
    let next = match mode {
        Mode::Check(next) if outcome.allowed() => Some(next.insert(NextOf::blank())),
        _ => None,
    };
    finish_pairs(call, now, states, next, &mut outcome);
    Ok(outcome)
}

/// A call that is decided and not yet counted, so that several keys can be decided before any of
/// them is written.
///
/// The steps are those of [`decide`], but the states stay in memory between them. For one key that
/// took the module up to 150 instructions more, so `decide` does not use this type.
#[derive(Clone, Debug)]
pub struct Settled<'a, const N: usize> {
    call: &'a CallOf<N>,
    now: Now,
    outcome: OutcomeOf<N>,
    states: States<N>,
}

/// The state of each pair. All pairs of a call have the same algorithm.
#[derive(Clone, Debug)]
enum States<const N: usize> {
    Fixed([FixedWindow; N]),
    Sliding([SlidingWindow; N]),
    Bucket([TokenBucket; N]),
}

/// Decides `call` by the stored string. The call is allowed only if every pair allows it.
///
/// # Errors
/// Those of [`check`].
pub fn settle<'a, const N: usize>(
    call: &'a CallOf<N>,
    stored: Option<Stored>,
    now: Now,
) -> Result<Settled<'a, N>, StateError> {
    match call.policy.algorithm() {
        Algorithm::Fixed => settle_by(call, stored, now, States::Fixed),
        Algorithm::Sliding => settle_by(call, stored, now, States::Sliding),
        Algorithm::Bucket => settle_by(call, stored, now, States::Bucket),
    }
}

fn settle_by<'a, S: State, const N: usize>(
    call: &'a CallOf<N>,
    stored: Option<Stored>,
    now: Now,
    wrap: fn([S; N]) -> States<N>,
) -> Result<Settled<'a, N>, StateError> {
    let pairs = call.policy.pairs();
    let mut states = [S::unused(pairs[0].window); N];
    let mut outcome = OutcomeOf::blank(pairs.len());
    settle_pairs(call, stored, now, &mut states[..pairs.len()], &mut outcome)?;
    Ok(Settled { call, now, outcome, states: wrap(states) })
}

impl<const N: usize> Settled<'_, N> {
    /// Whether every pair allows the call.
    pub fn allowed(&self) -> bool {
        self.outcome.allowed()
    }

    /// Each pair as it stands: the answer of RATELIMIT.PEEK, and of a RATELIMIT.CHECK that denies.
    pub fn outcome(self) -> OutcomeOf<N> {
        self.finish(None)
    }

    /// Counts the call, which must be allowed: how each pair stands afterwards, and what to store.
    pub fn consume(self) -> (OutcomeOf<N>, NextOf<N>) {
        let mut next = NextOf::blank();
        let outcome = self.finish(Some(&mut next));
        (outcome, next)
    }

    fn finish(mut self, next: Option<&mut NextOf<N>>) -> OutcomeOf<N> {
        let (call, now, outcome) = (self.call, self.now, &mut self.outcome);
        match &mut self.states {
            States::Fixed(states) => finish_pairs(call, now, states, next, outcome),
            States::Sliding(states) => finish_pairs(call, now, states, next, outcome),
            States::Bucket(states) => finish_pairs(call, now, states, next, outcome),
        }
        self.outcome
    }
}

/// Reads the stored string into `states`, brings each state to `now`, and decides pair by pair.
/// `states` has one unused state for each pair.
#[inline(always)]
fn settle_pairs<S: State, const N: usize>(
    call: &CallOf<N>,
    stored: Option<Stored>,
    now: Now,
    states: &mut [S],
    outcome: &mut OutcomeOf<N>,
) -> Result<(), StateError> {
    let pairs = call.policy.pairs();
    stored::read(stored, pairs, now, states)?;
    for (i, (state, pair)) in states.iter_mut().zip(pairs).enumerate() {
        *state = state.settle(pair, now);
        outcome.set_wait(i, pair.burst, state.retry_after(pair, now, call.cost));
    }
    Ok(())
}

/// Counts the call if `next` is given, then sets how each pair stands.
#[inline(always)]
fn finish_pairs<S: State, const N: usize>(
    call: &CallOf<N>,
    now: Now,
    states: &mut [S],
    next: Option<&mut NextOf<N>>,
    outcome: &mut OutcomeOf<N>,
) {
    let pairs = call.policy.pairs();
    let states = &mut states[..pairs.len()];
    if let Some(next) = next {
        for (state, pair) in states.iter_mut().zip(pairs) {
            *state = state.consume(pair, now, call.cost);
        }
        stored::write(states, next);
    }
    for (i, (state, pair)) in states.iter().zip(pairs).enumerate() {
        outcome.set_usage(i, state.remaining(pair, now), state.reset_after_ms(now));
    }
}
