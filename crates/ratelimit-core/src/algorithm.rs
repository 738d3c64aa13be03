//! The one step from a call and what is stored to a decision and what is to be stored, for
//! every algorithm and any number of pairs.

use crate::fixed_window::FixedWindow;
use crate::sliding_window::SlidingWindow;
use crate::state::{self, Numbers, StateError, Stored, Writer};
use crate::token_bucket::TokenBucket;
use crate::{CallOf, NextOf, Now, OutcomeOf, Pair, RetryAfter, Window};

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A word, not a byte: ARCHITECTURE.md says why.
#[repr(u64)]
pub enum Algorithm {
    /// A counter per window: [`crate::fixed_window`].
    Fixed,
    /// Two weighted windows: [`crate::sliding_window`].
    Sliding,
    /// A bucket that refills continuously: [`crate::token_bucket`].
    Bucket,
}

/// What one algorithm keeps for one pair, and its arithmetic.
///
/// `settle` comes first: it carries a stored state to `now`, under the pair of this call. The
/// others are asked of a settled state only.
pub(crate) trait State: Copy {
    /// Algorithm and format version, at the head of what is stored.
    const TAG: &'static [u8; 2];

    /// As if no call had ever come.
    fn unused(window: Window) -> Self;
    fn window(&self) -> Window;
    fn settle(self, pair: &Pair, now: Now) -> Self;

    fn retry_after(&self, pair: &Pair, now: Now, cost: u64) -> RetryAfter;
    /// Asked only where `retry_after` is `Now`.
    fn consume(self, pair: &Pair, now: Now, cost: u64) -> Self;
    fn remaining(&self, pair: &Pair, now: Now) -> u64;
    fn reset_after_ms(&self, now: Now) -> u64;

    /// The end of what it encodes, rounded up.
    fn expiry_ms(&self) -> u64;
    /// The numbers behind the window; `None` where one is out of bounds.
    fn read(window: Window, numbers: &mut Numbers) -> Option<Self>;
    fn write(&self, text: &mut Writer);

    /// How many groups a tagged string has at least. Where it is 2, a state that stands alone
    /// is a plain number instead, as only a fixed window's is.
    const LEAST_GROUPS: usize = 1;
    /// The state that such a number is, and the place of its pair.
    fn read_plain(
        _count: u64,
        _end_ms: u64,
        _pairs: &[Pair],
        _now: Now,
    ) -> Result<(usize, Self), StateError> {
        Err(StateError::OtherAlgorithm)
    }
    fn write_plain(&self, _text: &mut Writer) {}
}

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
    state::read(stored, pairs, now, states)?;
    let mut outcome = OutcomeOf::blank(pairs.len());
    for (i, (state, pair)) in states.iter_mut().zip(pairs).enumerate() {
        *state = state.settle(pair, now);
        outcome.judge(i, pair.burst, state.retry_after(pair, now, call.cost));
    }
    if let (Mode::Check(next), true) = (mode, outcome.allowed()) {
        for (state, pair) in states.iter_mut().zip(pairs) {
            *state = state.consume(pair, now, call.cost);
        }
        state::write(states, next.insert(NextOf::blank()));
    }
    for (i, (state, pair)) in states.iter().zip(pairs).enumerate() {
        outcome.describe(i, state.remaining(pair, now), state.reset_after_ms(now));
    }
    Ok(outcome)
}
