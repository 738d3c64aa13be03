//! What the service reports about itself: metrics, the log, and denials in both.

pub(crate) mod denied;
pub(crate) mod fallbacks;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod sampler;
