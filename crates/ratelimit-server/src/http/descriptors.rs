//! How many connections fit below the system's limit of open files: each takes a descriptor.

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

/// Descriptors for everything but the connections of clients: connections to Redis, to every node of
/// a cluster too, files, the runtime, and the requests of the live page.
const RESERVED: u64 = 256;

/// The connections of clients that the process may have, at most `wanted`. Raises the limit of open
/// files first, as far as the system permits. A lower number is logged.
pub(crate) fn max_connections(wanted: usize) -> usize {
    let descriptors = raise(wanted as u64 + RESERVED);
    let max = fitting(wanted, descriptors);
    if max < wanted {
        tracing::warn!(
            max_connections = max,
            wanted,
            descriptors,
            "fewer connections than MAX_CONNECTIONS: the limit of open files (ulimit -n) is too low"
        );
    }
    max
}

/// Returns the limit as it is then; `None` means that there is none.
fn raise(needed: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let soft = current.filter(|current| *current < needed)?;
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    // Fails only where the system forbids the call, and then the limit stays.
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => Some(raised),
        Err(_) => Some(soft),
    }
}

/// Below a very low limit the connections get half of it.
fn fitting(wanted: usize, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return wanted };
    let fitting = descriptors - RESERVED.min(descriptors / 2);
    usize::try_from(fitting).map_or(wanted, |fitting| fitting.clamp(1, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_stay_for_redis() {
        let cases = [(None, 10_000), (Some(20_000), 10_000), (Some(1024), 768), (Some(100), 50)];
        for (descriptors, expected) in cases {
            assert_eq!(fitting(10_000, descriptors), expected, "{descriptors:?}");
        }
        assert_eq!(fitting(10_000, Some(0)), 1);
    }
}
