//! The choice for a server that does not decide in time.

use std::time::Duration;

/// How long a check may take, and what happens to a call without a decision by then. There is no
/// default: only you know whether such a call should pass.
#[derive(Clone, Copy, Debug)]
pub struct OnFailure {
    pub(crate) deadline: Duration,
    pub(crate) fallback: Fallback,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fallback {
    Open,
    Closed,
    Local { instances: u32, max_keys: usize },
}

impl OnFailure {
    /// After `deadline` the call is allowed and not counted: without a server there is no limit.
    pub const fn open_after(deadline: Duration) -> Self {
        Self { deadline, fallback: Fallback::Open }
    }

    /// After `deadline` the call is an [`Error::Unavailable`](crate::Error::Unavailable): without a
    /// server nothing passes.
    pub const fn closed_after(deadline: Duration) -> Self {
        Self { deadline, fallback: Fallback::Closed }
    }

    /// After `deadline` the memory of this process decides, by its share of each limit as one of
    /// `instances`. Limit 100, 3 instances: 33 each. It holds at most `max_keys` keys; calls for
    /// more keys are [`Error::Unavailable`](crate::Error::Unavailable).
    ///
    /// While the server is gone, all n instances together allow at most n × max(1, ⌊limit / n⌋),
    /// which is never more than max(limit, n). They do not know what the server had allowed before,
    /// so the server's calls and theirs may both fall into that window.
    pub fn local_after(deadline: Duration, instances: u32, max_keys: usize) -> Self {
        Self { deadline, fallback: Fallback::Local { instances: instances.max(1), max_keys } }
    }
}
