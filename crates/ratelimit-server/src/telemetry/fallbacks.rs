//! A line in the log for each decision without Redis, fewer in a flood.

use ratelimit_client::{Answer, Error, Failure, Limiter};

use super::sampler::Sampler;

/// The decisions that `ON_REDIS_FAILURE` made.
#[derive(Default)]
pub(crate) struct Fallbacks {
    sampler: Sampler,
}

impl Fallbacks {
    /// A result by Redis leaves no line.
    #[inline]
    pub(crate) fn note(&self, result: &Result<Answer, Error>, policy: &str, limiter: &Limiter) {
        let (failure, mode) = match result {
            Ok(answer) => match answer.source.failure() {
                None => return,
                Some(failure) => (failure, answer.source.as_str()),
            },
            Err(Error::Unavailable(failure)) => (*failure, "closed"),
            Err(_) => return,
        };
        self.log(failure, mode, policy, limiter);
    }

    /// An error where Redis answers and does not decide: somebody must mend its rights, its role or
    /// its memory. A warning where it does not answer.
    #[cold]
    fn log(&self, failure: Failure, mode: &str, policy: &str, limiter: &Limiter) {
        if !self.sampler.permits() {
            return;
        }
        let (why, left_out) = (limiter.last_failure(), self.sampler.take_left_out());
        let failed = failure.as_str();
        if failure == Failure::Server {
            tracing::error!(policy, mode, failure = failed, why, left_out, "decided without Redis");
        } else {
            tracing::warn!(policy, mode, failure = failed, why, left_out, "decided without Redis");
        }
    }

    /// To be called each second.
    pub(crate) fn report_left_out(&self) {
        if let Some(left_out) = self.sampler.take_left_out_if_quiet() {
            tracing::warn!(left_out, "decisions without Redis left out");
        }
    }
}
