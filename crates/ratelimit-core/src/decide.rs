//! The step from a call and what is stored to a decision, and the one from there to what is to be
//! stored, for every algorithm and any number of pairs.

use crate::decision::{NextOf, OutcomeOf};
use crate::fixed_window::FixedWindow;
use crate::policy::{Algorithm, CallOf};
use crate::sliding_window::SlidingWindow;
use crate::state::{State, StateError, Stored};
use crate::stored;
use crate::time::Now;
use crate::token_bucket::TokenBucket;

/// What RATELIMIT.CHECK does: the outcome, and what is to be stored if the call consumed.
///
/// # Errors
/// When the stored string is not a state of the call's algorithm.
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

/// Whether an allowed call consumes.
#[derive(Debug)]
pub enum Mode<'a, const N: usize> {
    /// It does, and what is to be stored is put here.
    Check(&'a mut Option<NextOf<N>>),
    /// It does not.
    Peek,
}

/// [`check`] and [`peek`] in one, for the module's hot path: settle and consume of one key in a row.
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
    if let (Mode::Check(next), true) = (mode, outcome.allowed()) {
        consume_pairs(call, now, states, next.insert(NextOf::blank()));
    }
    describe_pairs(call, now, states, &mut outcome);
    Ok(outcome)
}

/// A call that is decided and not yet counted, so that several keys can be decided before one of
/// them is written.
///
/// The steps are those of [`decide`]. Between them the states are kept in memory: for a single key
/// that would cost the module more than it may (ARCHITECTURE.md).
#[derive(Clone, Debug)]
pub struct Settled<'a, const N: usize> {
    call: &'a CallOf<N>,
    now: Now,
    outcome: OutcomeOf<N>,
    states: States<N>,
}

/// Each pair's state. All pairs of a call have one algorithm.
#[derive(Clone, Debug)]
enum States<const N: usize> {
    Fixed([FixedWindow; N]),
    Sliding([SlidingWindow; N]),
    Bucket([TokenBucket; N]),
}

/// Decides `call` by what is stored. All pairs must allow, or none counts it.
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
    /// Whether every pair lets the call pass.
    pub fn allowed(&self) -> bool {
        self.outcome.allowed()
    }

    /// Each pair as it stands: what RATELIMIT.PEEK answers, and RATELIMIT.CHECK where it denies.
    pub fn outcome(mut self) -> OutcomeOf<N> {
        match &self.states {
            States::Fixed(states) => describe_pairs(self.call, self.now, states, &mut self.outcome),
            States::Sliding(states) => {
                describe_pairs(self.call, self.now, states, &mut self.outcome)
            }
            States::Bucket(states) => {
                describe_pairs(self.call, self.now, states, &mut self.outcome)
            }
        }
        self.outcome
    }

    /// Counts the call, which must be allowed: how each pair stands afterwards, and what is to be
    /// stored.
    pub fn consume(mut self) -> (OutcomeOf<N>, NextOf<N>) {
        let len = self.call.policy.pairs().len();
        let mut next = NextOf::blank();
        match &mut self.states {
            States::Fixed(states) => {
                consume_pairs(self.call, self.now, &mut states[..len], &mut next)
            }
            States::Sliding(states) => {
                consume_pairs(self.call, self.now, &mut states[..len], &mut next)
            }
            States::Bucket(states) => {
                consume_pairs(self.call, self.now, &mut states[..len], &mut next)
            }
        }
        (self.outcome(), next)
    }
}

/// Carries what is stored to now, and decides pair by pair. `states` are unused before, one a pair.
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
        outcome.judge(i, pair.burst, state.retry_after(pair, now, call.cost));
    }
    Ok(())
}

#[inline(always)]
fn consume_pairs<S: State, const N: usize>(
    call: &CallOf<N>,
    now: Now,
    states: &mut [S],
    next: &mut NextOf<N>,
) {
    for (state, pair) in states.iter_mut().zip(call.policy.pairs()) {
        *state = state.consume(pair, now, call.cost);
    }
    stored::write(states, next);
}

#[inline(always)]
fn describe_pairs<S: State, const N: usize>(
    call: &CallOf<N>,
    now: Now,
    states: &[S],
    outcome: &mut OutcomeOf<N>,
) {
    for (i, (state, pair)) in states.iter().zip(call.policy.pairs()).enumerate() {
        outcome.describe(i, state.remaining(pair, now), state.reset_after_ms(now));
    }
}
