//! The service that the layer makes: it finds the rule and the key of a request, asks the limiter, and
//! hands the request on or refuses it.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use super::layer::{Rule, Settings};
use super::{fields, Body, NoKey, Reason, Refusal};
use crate::{Answer, Call, Error};

/// A service inside a [`RateLimitLayer`](super::RateLimitLayer). It is ready when the inner service
/// is. A request that does not pass gives back the place that the inner service had reserved for
/// it.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, Q, B: 'static> Service<Request<Q>> for RateLimit<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // The service that was polled ready takes the request; a clone of it may not be ready.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        ResponseFuture(Box::pin(limited(ready, self.settings.clone(), request)))
    }
}

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<Body<B>>, E>> + Send>>;

/// The response to come of a [`RateLimit`] service.
pub struct ResponseFuture<B, E>(Boxed<B, E>);

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Result<Response<Body<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

async fn limited<S, Q, B>(
    mut ready: S,
    settings: Arc<Settings>,
    request: Request<Q>,
) -> Result<Response<Body<B>>, S::Error>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    let (mut parts, body) = request.into_parts();
    let Some(rule) = settings.rule(&parts) else {
        let response = ready.call(Request::from_parts(parts, body)).await?;
        return Ok(response.map(Body::service));
    };
    let key = match settings.key.find(&parts) {
        Ok(key) => key,
        Err(no_key) => return Ok(settings.without_key(&rule, &parts, no_key)),
    };
    let answer = match settings.check(&rule, &key, &parts).await {
        Ok(answer) => answer,
        Err(error) => return Ok(settings.unavailable(&rule, &parts, error)),
    };
    let mut response = if answer.is_allowed() {
        parts.extensions.insert(answer.clone());
        ready.call(Request::from_parts(parts, body)).await?.map(Body::service)
    } else {
        let refusal = Refusal { request: &parts, rule: &rule, reason: Reason::Denied(&answer) };
        settings.respond(&refusal).map(Body::refusal)
    };
    settings.add_fields(&mut response, &rule, &answer);
    Ok(response)
}

impl Settings {
    async fn check(&self, rule: &Rule, key: &str, parts: &Parts) -> Result<Answer, Error> {
        let key = format!("{}:{key}", rule.name);
        self.limiter.check_call(Call::new(&key, &rule.policy).cost(self.cost(parts))).await
    }

    fn without_key<B>(&self, rule: &Rule, parts: &Parts, no_key: NoKey) -> Response<Body<B>> {
        self.log.warn(&rule.name, &no_key);
        let reason = Reason::NoKey(&no_key);
        let mut response = self.respond(&Refusal { request: parts, rule, reason });
        response.extensions_mut().insert(no_key);
        response.map(Body::refusal)
    }

    fn unavailable<B>(&self, rule: &Rule, parts: &Parts, error: Error) -> Response<Body<B>> {
        let reason = Reason::Unavailable(&error);
        let mut response = self.respond(&Refusal { request: parts, rule, reason });
        response.extensions_mut().insert(Arc::new(error));
        response.map(Body::refusal)
    }

    fn add_fields<B>(&self, response: &mut Response<B>, rule: &Rule, answer: &Answer) {
        fields::add(response.headers_mut(), &rule.name, &rule.policy, answer);
        if self.legacy_fields {
            fields::add_legacy(response.headers_mut(), answer);
        }
    }
}
