//! The one step from a call and what is stored to a decision and what is to be stored, for
//! every algorithm and any number of pairs.

use crate::fixed_window::FixedWindow;
use crate::policy::MAX_PAIRS;
use crate::sliding_window::SlidingWindow;
use crate::state::{self, Groups, Next, Numbers, StateError, Stored, Text};
use crate::token_bucket::TokenBucket;
use crate::{Call, Decision, Now, Pair, Policy, RetryAfter, Standing, Window};

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    fn write(&self, text: &mut Text);

    /// How many groups a tagged string has at least. Where it is 2, a state that stands alone
    /// is a plain number instead, as only a fixed window's is.
    const LEAST_GROUPS: usize = 1;
    fn read_plain(_count: u64, _end_ms: u64, _pairs: &[Pair], _now: Now) -> Option<Self> {
        None
    }
    fn write_plain(&self, _text: &mut Text) {}
}

/// Decides and consumes: what RATELIMIT.CHECK does. `None` for the next state: the call is
/// denied, and nothing is to be written.
pub fn check(
    call: &Call,
    stored: Option<Stored>,
    now: Now,
) -> Result<(Decision, Option<Next>), StateError> {
    match call.policy.algorithm() {
        Algorithm::Fixed => check_with::<FixedWindow>(call, stored, now),
        Algorithm::Sliding => check_with::<SlidingWindow>(call, stored, now),
        Algorithm::Bucket => check_with::<TokenBucket>(call, stored, now),
    }
}

/// What [`check`] would decide, described as it stands: what RATELIMIT.PEEK does.
pub fn peek(call: &Call, stored: Option<Stored>, now: Now) -> Result<Decision, StateError> {
    match call.policy.algorithm() {
        Algorithm::Fixed => peek_with::<FixedWindow>(call, stored, now),
        Algorithm::Sliding => peek_with::<SlidingWindow>(call, stored, now),
        Algorithm::Bucket => peek_with::<TokenBucket>(call, stored, now),
    }
}

fn check_with<S: State>(
    call: &Call,
    stored: Option<Stored>,
    now: Now,
) -> Result<(Decision, Option<Next>), StateError> {
    let pairs = call.policy.pairs();
    let mut states = settled::<S>(&call.policy, stored, now)?;
    let denies =
        |(state, pair): (&S, &Pair)| state.retry_after(pair, now, call.cost) != RetryAfter::Now;
    if states.iter().zip(pairs).any(denies) {
        return Ok((standings(&states, call, now), None));
    }
    for (state, pair) in states.iter_mut().zip(pairs) {
        *state = state.consume(pair, now, call.cost);
    }
    let after =
        Decision::of(pairs.len(), |i| standing(&states[i], &pairs[i], now, RetryAfter::Now));
    Ok((after, Some(state::write(&states[..pairs.len()]))))
}

fn peek_with<S: State>(
    call: &Call,
    stored: Option<Stored>,
    now: Now,
) -> Result<Decision, StateError> {
    let states = settled::<S>(&call.policy, stored, now)?;
    Ok(standings(&states, call, now))
}

fn standings<S: State>(states: &[S; MAX_PAIRS], call: &Call, now: Now) -> Decision {
    let pairs = call.policy.pairs();
    Decision::of(pairs.len(), |i| {
        let retry_after = states[i].retry_after(&pairs[i], now, call.cost);
        standing(&states[i], &pairs[i], now, retry_after)
    })
}

fn standing<S: State>(state: &S, pair: &Pair, now: Now, retry_after: RetryAfter) -> Standing {
    Standing {
        limit: pair.burst,
        remaining: state.remaining(pair, now),
        retry_after,
        reset_after_ms: state.reset_after_ms(now),
    }
}

/// The state of each pair in the order called, carried to `now`.
fn settled<S: State>(
    policy: &Policy,
    stored: Option<Stored>,
    now: Now,
) -> Result<[S; MAX_PAIRS], StateError> {
    let pairs = policy.pairs();
    let groups = state::read::<S>(stored, pairs, now)?;
    let mut states = [S::unused(pairs[0].window); MAX_PAIRS];
    for (state, pair) in states.iter_mut().zip(pairs) {
        *state = of_pair(&groups, pair, pairs.len()).settle(pair, now);
    }
    Ok(states)
}

/// One pair called and one stored are the same limit, even if its window was changed. Otherwise
/// the windows tell which is which.
fn of_pair<S: State>(groups: &Groups<S>, pair: &Pair, called: usize) -> S {
    let same_limit = groups.only().filter(|_| called == 1);
    let same_window = || groups.iter().find(|state| state.window() == pair.window);
    same_limit.or_else(same_window).copied().unwrap_or(S::unused(pair.window))
}
