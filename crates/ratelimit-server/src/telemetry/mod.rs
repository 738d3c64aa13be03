//! What the service reports of itself: metrics, the log, and the denials in both.

pub(crate) mod denied;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod sampler;
