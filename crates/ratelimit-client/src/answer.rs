//! The answer to a check: the decision, its numbers, and its source.

use std::fmt;
use std::time::Duration;

use ratelimit_core::{Outcome, RetryAfter};

use crate::time::millis;

/// The numbers of a policy, or of one of its pairs, after a decision.
///
/// Limit 10, six used, 12 s of the window left: `limit` 10, `remaining` 4, `reset_after` 12 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The most that can pass at once: the limit, or the burst of a bucket.
    pub limit: u64,
    /// The cost that could still pass now, rounded down.
    pub remaining: u64,
    /// The time until the key is as if unused, in whole milliseconds, rounded up.
    pub reset_after: Duration,
}

/// When the same call passes, if no other call comes first.
///
/// This enum is closed: there is no fourth case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// It passes now.
    Now,
    /// It passes after this time (whole milliseconds, rounded up), and not a millisecond earlier.
    After(Duration),
    /// It never passes: its cost is above the most that can pass at once.
    Never,
}

impl Retry {
    /// The wait as every reply has it: 0 for now, the milliseconds, −1 for never.
    pub fn to_wire(self) -> i64 {
        let retry_after = match self {
            Self::Now => RetryAfter::Now,
            Self::After(wait) => RetryAfter::Millis(millis(wait).min(i64::MAX as u64)),
            Self::Never => RetryAfter::Never,
        };
        retry_after.to_wire()
    }
}

/// How one pair of a policy stands, without regard to the other pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The numbers of the pair.
    pub quota: Quota,
    /// When this pair would allow the call, whatever the others do.
    pub retry: Retry,
}

/// Allowed, denied for a time, or denied forever.
///
/// This enum is closed: a decision will not have a fourth case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call is allowed, and was counted.
    Allowed(Quota),
    /// The call is denied for a time, and was not counted.
    Denied {
        /// The numbers of the pair with the longest wait.
        quota: Quota,
        /// The same call passes after this time, if no other call comes first. Never zero.
        retry_after: Duration,
    },
    /// The cost is above the most that can pass at once: the same call never passes.
    DeniedForever(Quota),
}

impl Decision {
    /// The numbers of the binding pair, whatever was decided.
    pub fn quota(&self) -> &Quota {
        match self {
            Self::Allowed(quota) | Self::Denied { quota, .. } | Self::DeniedForever(quota) => quota,
        }
    }
}

/// Why the server gave no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The server did not answer before the deadline.
    Deadline,
    /// The connection failed, or could not be made.
    Connection,
    /// The server answered something else than a decision: it is loading, failing over, read-only or
    /// out of memory, it does not permit the call, or its reply is not a limiter's.
    Server,
    /// The circuit breaker is open, so the server was not asked.
    CircuitOpen,
}

impl Failure {
    /// A short name for metrics and logs: `deadline`, `connection`, `server`, `circuit_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "no answer before the deadline",
            Self::Connection => "the connection failed",
            Self::Server => "the server answers, but does not decide",
            Self::CircuitOpen => "the circuit breaker is open after repeated failures",
        })
    }
}

/// Where a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The module's command.
    Module,
    /// The Lua script.
    Script,
    /// The memory of this process, chosen by [`Limiter::memory`](crate::Limiter::memory).
    Memory,
    /// A remembered denial: see [`Builder::remember_denials`](crate::Builder::remember_denials).
    KnownDenial,
    /// No decision: the server failed, and [`OnFailure::open_after`](crate::OnFailure::open_after)
    /// allowed the call without counting it. The numbers are those of an unused policy.
    FailedOpen(Failure),
    /// The memory of this process, by its share of the limit: the server failed, and
    /// [`OnFailure::local_after`](crate::OnFailure::local_after) was chosen.
    Local(Failure),
}

impl Source {
    /// A short name for metrics and logs: `module`, `script`, `memory`, `known_denial`, `open`,
    /// `local`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Script => "script",
            Self::Memory => "memory",
            Self::KnownDenial => "known_denial",
            Self::FailedOpen(_) => "open",
            Self::Local(_) => "local",
        }
    }

    /// Why the server did not decide. `None` if it was not asked or did decide.
    pub const fn failure(self) -> Option<Failure> {
        match self {
            Self::FailedOpen(failure) | Self::Local(failure) => Some(failure),
            Self::Module | Self::Script | Self::Memory | Self::KnownDenial => None,
        }
    }
}

/// A decision, and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Allowed or denied. With several pairs, the numbers are those of the binding pair. If denied,
    /// that is the pair with the longest wait; if allowed, the one with the smallest remaining.
    pub decision: Decision,
    /// How each pair stands, in the order of the policy. Empty if the policy has one pair.
    pub standings: Vec<Standing>,
    /// Where the decision comes from.
    pub source: Source,
}

impl Answer {
    /// Whether the call is allowed.
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

    /// The numbers of the binding pair.
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
            several => several.iter().map(Standing::of_core).collect(),
        };
        Self::new(Standing::of_core(outcome.binding()), standings, source)
    }
}

impl Standing {
    fn of_core(standing: &ratelimit_core::Standing) -> Self {
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
