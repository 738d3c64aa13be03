//! What the service reports about itself: metrics, the log, and denials in both.

pub(crate) mod denied;
pub(crate) mod exposition;
pub(crate) mod fallbacks;
pub(crate) mod log;
pub(crate) mod metrics;
mod process;
pub(crate) mod requests;
pub(crate) mod sampler;
