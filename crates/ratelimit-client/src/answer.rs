//! What a check comes to.

use std::fmt;
use std::time::Duration;

use ratelimit_core::{Outcome, RetryAfter};

/// How a policy or one of its windows stands after a decision.
///
/// Limit 10, six used, 12 s of the window left: `limit` 10, `remaining` 4, `reset_after` 12 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The most that can pass at once: the limit, or a bucket's burst.
    pub limit: u64,
    /// What could still pass now, rounded down.
    pub remaining: u64,
    /// Until it is as if unused, in whole milliseconds, rounded up.
    pub reset_after: Duration,
}

/// When the same call passes, if nobody else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// Now.
    Now,
    /// After so long (whole milliseconds, rounded up), and not a millisecond earlier.
    After(Duration),
    /// Never: its cost is above the most that can pass at once.
    Never,
}

/// One window of a policy that has several, speaking for itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Its numbers.
    pub quota: Quota,
    /// When it alone would let the call pass.
    pub retry: Retry,
}

/// Allowed, denied until a time, or denied for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on, and was counted.
    Allowed(Quota),
    /// It must wait, and was not counted.
    Denied {
        /// The window that asks for the longest wait.
        quota: Quota,
        /// The same call passes then, if nobody else comes; never zero.
        retry_after: Duration,
    },
    /// Its cost is above the most that can pass at once: waiting does not help.
    DeniedForever(Quota),
}

impl Decision {
    /// Limit, remaining and reset, whatever was decided.
    pub fn quota(&self) -> &Quota {
        match self {
            Self::Allowed(quota) | Self::Denied { quota, .. } | Self::DeniedForever(quota) => quota,
        }
    }
}

/// Why the server could not be asked in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It did not answer before the deadline.
    Deadline,
    /// The connection failed, or none could be made.
    Connection,
    /// It answered that it cannot decide now: it loads, fails over, is read-only or out of memory.
    Server,
    /// It did not answer, again and again: it was not asked.
    CircuitOpen,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "no answer before the deadline",
            Self::Connection => "the connection failed",
            Self::Server => "the server cannot decide now",
            Self::CircuitOpen => {
                "the server did not answer, again and again, and is left alone for a while"
            }
        })
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The module's command.
    Module,
    /// The Lua twin.
    Script,
    /// The memory of this process, which was chosen as the backend.
    Memory,
    /// The memory of denials: an earlier answer still holds.
    KnownDenial,
    /// Nobody: it was let pass uncounted, as chosen for a failure. The numbers are those of an unused policy.
    FailedOpen(Failure),
    /// The memory of this process, by its share of the limit, as chosen for a failure.
    Local(Failure),
}

/// A decision, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Allowed or denied. With several windows it speaks for the binding one: denied, the longest
    /// wait; allowed, the smallest remaining.
    pub decision: Decision,
    /// Each window, in the order of the policy, if it has several; else empty.
    pub standings: Vec<Standing>,
    /// Who decided.
    pub source: Source,
}

impl Answer {
    /// Whether the call may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self.decision, Decision::Allowed(_))
    }

    /// When the same call passes.
    pub fn retry(&self) -> Retry {
        match self.decision {
            Decision::Allowed(_) => Retry::Now,
            Decision::Denied { retry_after, .. } => Retry::After(retry_after),
            Decision::DeniedForever(_) => Retry::Never,
        }
    }

    /// Limit, remaining and reset of the binding window.
    pub fn quota(&self) -> &Quota {
        self.decision.quota()
    }

    pub(crate) fn new(binding: Standing, standings: Vec<Standing>, source: Source) -> Self {
        let Standing { quota, retry } = binding;
        let decision = match retry {
            Retry::Now => Decision::Allowed(quota),
            Retry::After(retry_after) => Decision::Denied { quota, retry_after },
            Retry::Never => Decision::DeniedForever(quota),
        };
        Self { decision, standings, source }
    }

    pub(crate) fn of_outcome(outcome: &Outcome, source: Source) -> Self {
        let standings = match outcome.standings() {
            [_] => Vec::new(),
            several => several.iter().map(Standing::of_standing).collect(),
        };
        Self::new(Standing::of_standing(outcome.binding()), standings, source)
    }
}

impl Standing {
    fn of_standing(standing: &ratelimit_core::Standing) -> Self {
        let retry = match standing.retry_after {
            RetryAfter::Now => Retry::Now,
            RetryAfter::Millis(millis) => Retry::After(Duration::from_millis(millis)),
            RetryAfter::Never => Retry::Never,
        };
        let quota = Quota {
            limit: standing.limit,
            remaining: standing.remaining,
            reset_after: Duration::from_millis(standing.reset_after_ms),
        };
        Self { quota, retry }
    }
}
