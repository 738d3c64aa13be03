//! What happens when the server does not answer in time.

use std::time::Duration;

/// How long a check may take, and what happens to those that the server did not answer in time.
/// There is no default: it is the one choice that nobody else can make.
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
    /// After `deadline` the call passes, uncounted: without a server there is no limit.
    pub fn open_after(deadline: Duration) -> Self {
        Self { deadline, fallback: Fallback::Open }
    }

    /// After `deadline` it is [`Error::Unavailable`](crate::Error::Unavailable): without a server
    /// nothing passes.
    pub fn closed_after(deadline: Duration) -> Self {
        Self { deadline, fallback: Fallback::Closed }
    }

    /// After `deadline` the memory of this process decides, by its share of each limit as one of
    /// `instances` (limit 100 of 3 instances: 33), for at most `max_keys` keys; the rest is
    /// unavailable.
    ///
    /// The bound: while the server is gone, all instances together let pass what the policy says of
    /// n × max(1, ⌊limit / n⌋), which is at most max(limit, n). What the server had let pass before
    /// is not known here, so that the window in which it fails may see both.
    pub fn local_after(deadline: Duration, instances: u32, max_keys: usize) -> Self {
        Self { deadline, fallback: Fallback::Local { instances: instances.max(1), max_keys } }
    }
}
