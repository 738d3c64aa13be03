//! The layer and its settings: the key, the rule and the cost of a request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::Response;
use tower_layer::Layer;

use super::log::RefusalLog;
use super::{KeyExtractor, RateLimit, Refusal};
use crate::{Limiter, Policy, MAX_LIMIT};

/// A policy with a name. The name stands in the header fields and before the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Two rules with one name share the limit of a key; two names do not.
    pub name: Cow<'static, str>,
    /// The policy.
    pub policy: Policy,
}

impl Rule {
    /// A rule with this name and this policy.
    pub fn new(name: impl Into<Cow<'static, str>>, policy: Policy) -> Self {
        Self { name: name.into(), policy }
    }
}

type RuleOf = dyn Fn(&Parts) -> Option<Rule> + Send + Sync;
type CostOf = dyn Fn(&Parts) -> u64 + Send + Sync;
type Respond = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) limiter: Limiter,
    pub(super) key: KeyExtractor,
    rule: Arc<RuleOf>,
    cost: Arc<CostOf>,
    respond: Arc<Respond>,
    pub(super) legacy_fields: bool,
    pub(super) log: Arc<RefusalLog>,
}

impl Settings {
    pub(super) fn rule(&self, parts: &Parts) -> Option<Rule> {
        (self.rule)(parts)
    }

    /// Brought into the bounds of a cost, so that a number taken from a request is never an error.
    pub(super) fn cost(&self, parts: &Parts) -> u64 {
        (self.cost)(parts).clamp(1, MAX_LIMIT)
    }

    pub(super) fn respond(&self, refusal: &Refusal<'_>) -> Response<Bytes> {
        (self.respond)(refusal)
    }
}

/// Limits the requests of a service: a denied request gets 429, and a request without an answer
/// 503. A request without a key gets 400, or 500 if the HTTP server gave no address: see
/// [`NoKey`](super::NoKey).
///
/// The limiter is asked for the key `name:key`, as in `api:ip:203.0.113.7`. Handlers find its
/// [`Answer`](crate::Answer) in the extensions of the request. Several layers may stand around a
/// service: each checks the request in its turn, the outermost first, and adds its fields to the
/// response. A request that an inner layer denies has been counted by the outer ones:
/// [an example](super#the-order-of-layers).
///
/// ```
/// use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
/// use ratelimit_client::{Limiter, Policy};
/// use std::time::Duration;
///
/// const API: Policy = Policy::sliding(100, Duration::from_secs(60));
/// const UPLOADS: Policy = Policy::bucket(10, Duration::from_secs(3600));
///
/// let limiter = Limiter::memory(10_000).build();
/// // One policy for all requests:
/// let all = RateLimitLayer::new(limiter.clone(), Rule::new("api", API), KeyExtractor::bearer());
/// // A policy for each request; `None` means no limit:
/// let key = KeyExtractor::bearer();
/// let some = RateLimitLayer::per_request(limiter, key, |parts| match parts.uri.path() {
///     "/health" => None,
///     "/upload" => Some(Rule::new("uploads", UPLOADS)),
///     _ => Some(Rule::new("api", API)),
/// });
/// # let _ = (all, some);
/// ```
#[derive(Clone)]
pub struct RateLimitLayer(Arc<Settings>);

impl RateLimitLayer {
    /// One rule for every request.
    pub fn new(limiter: Limiter, rule: Rule, key: KeyExtractor) -> Self {
        Self::per_request(limiter, key, move |_| Some(rule.clone()))
    }

    /// A rule for each request, by its method, path, headers or extensions. With `None` the request
    /// is not limited, and its response gets no fields.
    pub fn per_request(
        limiter: Limiter,
        key: KeyExtractor,
        rule: impl Fn(&Parts) -> Option<Rule> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Settings {
            limiter,
            key,
            rule: Arc::new(rule),
            cost: Arc::new(|_| 1),
            respond: Arc::new(|refusal| refusal.to_response()),
            legacy_fields: false,
            log: Arc::default(),
        }))
    }

    /// Sets the cost of a request (1). A number outside 1 to 10^12 counts as the nearest one
    /// inside. For a request that must not count, return no rule.
    #[must_use]
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.cost = Arc::new(cost))
    }

    /// Adds the fields `X-RateLimit-*` too: see [`fields::add_legacy`](super::fields::add_legacy).
    #[must_use]
    pub fn legacy_fields(self) -> Self {
        self.with(|settings| settings.legacy_fields = true)
    }

    /// Sets the response to a request that does not pass, instead of [`Refusal::to_response`]. The
    /// layer adds the fields to it. It is the response to gRPC calls, too.
    #[must_use]
    pub fn respond(
        self,
        respond: impl Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.respond = Arc::new(respond))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Arc::unwrap_or_clone(self.0);
        change(&mut settings);
        Self(Arc::new(settings))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("RateLimitLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.0.clone())
    }
}
