//! One request's way: its rule, its key, the limiter's answer, and the service or a refusal.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use super::layer::{Rule, Settings};
use super::{fields, Reason, Refusal};
use crate::{Answer, Call, Error};

/// The body of a refusal, or the service's own.
pub type Body<B> = http_body_util::Either<Full<Bytes>, B>;

/// What becomes of a request.
pub type ResponseFuture<B, E> = Pin<Box<dyn Future<Output = Result<Response<Body<B>>, E>> + Send>>;

/// A service behind a [`RateLimitLayer`](super::RateLimitLayer). It is ready when the service is; a
/// request that does not pass gives back the place that was reserved for it.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
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
        // The one that is ready goes; its clone may not be.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Box::pin(limited(ready, self.settings.clone(), request))
    }
}

fn own<B>(response: Response<B>) -> Response<Body<B>> {
    response.map(Body::Right)
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
        return ready.call(Request::from_parts(parts, body)).await.map(own);
    };
    let answer = match settings.check(&rule, &parts).await {
        Ok(answer) => answer,
        Err(error) => return Ok(settings.unavailable(&rule, &parts, error).map(Body::Left)),
    };
    let mut response = if answer.is_allowed() {
        parts.extensions.insert(answer.clone());
        own(ready.call(Request::from_parts(parts, body)).await?)
    } else {
        let refusal = Refusal { request: &parts, rule: &rule, reason: Reason::Denied(&answer) };
        settings.respond(&refusal).map(|body| Body::Left(Full::new(body)))
    };
    settings.add_fields(&mut response, &rule, &answer);
    Ok(response)
}

impl Settings {
    async fn check(&self, rule: &Rule, parts: &Parts) -> Result<Answer, Error> {
        let key = format!("{}:{}", rule.name, self.key.of(parts));
        self.limiter.check_call(Call::new(&key, &rule.policy).cost(self.cost(parts))).await
    }

    fn unavailable(&self, rule: &Rule, parts: &Parts, error: Error) -> Response<Full<Bytes>> {
        let reason = Reason::Unavailable(&error);
        let mut response = self.respond(&Refusal { request: parts, rule, reason });
        response.extensions_mut().insert(Arc::new(error));
        response.map(Full::new)
    }

    fn add_fields<B>(&self, response: &mut Response<B>, rule: &Rule, answer: &Answer) {
        fields::add(response.headers_mut(), &rule.name, &rule.policy, answer);
        if self.legacy_fields {
            fields::add_legacy(response.headers_mut(), answer);
        }
    }
}
