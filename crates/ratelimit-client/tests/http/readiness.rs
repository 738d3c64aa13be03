//! The rules of tower: a service is called only after it was polled ready, and a reserved place is
//! given back.

use std::convert::Infallible;
use std::future::{ready, Ready};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
use ratelimit_client::{Limiter, Policy};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::instance::{block_on, HOUR, PATIENCE};

/// A service that is ready at the second poll. A clone must be polled anew, and so must the service
/// after a call.
struct Probe {
    polls: u32,
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self { polls: 0 }
    }
}

impl Service<Request<()>> for Probe {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polls += 1;
        if self.polls < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(self.polls >= 2, "called before it was ready");
        self.polls = 0;
        ready(Ok(Response::new("hello".to_owned())))
    }
}

fn layer(limit: u64) -> RateLimitLayer {
    let limiter = Limiter::memory(1000).build();
    RateLimitLayer::per_request(limiter, KeyExtractor::shared(), move |request| {
        (request.uri.path() != "/free").then(|| Rule::new("api", Policy::fixed(limit, HOUR)))
    })
}

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).expect("a request")
}

#[test]
fn the_service_that_was_polled_ready_is_called() {
    block_on(async {
        let mut service = layer(3).layer(Probe { polls: 0 });
        for (path, status) in [("/free", 200), ("/", 200), ("/free", 200), ("/", 200)] {
            let response = service.ready().await.unwrap().call(request(path)).await.unwrap();
            assert_eq!(response.status(), status);
        }
        // Clones work, too, at the same time.
        let (one, other) = (service.clone(), service.clone());
        let calls =
            futures_util::future::join(one.oneshot(request("/")), other.oneshot(request("/")));
        let (one, other) = calls.await;
        let mut statuses = [one.unwrap().status().as_u16(), other.unwrap().status().as_u16()];
        statuses.sort();
        assert_eq!(statuses, [200, 429]);
    });
}

#[test]
fn a_service_that_is_not_ready_makes_the_layer_wait() {
    block_on(async {
        let mut service = layer(3).layer(Probe { polls: 0 });
        let mut polls = Vec::new();
        std::future::poll_fn(|cx| {
            let poll = service.poll_ready(cx);
            polls.push(poll.is_ready());
            poll
        })
        .await
        .unwrap();
        assert_eq!(polls, [false, true]);
    });
}

#[test]
fn a_denied_request_gives_back_its_reserved_place() {
    block_on(async {
        let inner = ServiceBuilder::new().concurrency_limit(1).service(Probe { polls: 0 });
        let mut service = layer(1).layer(inner);
        for status in [200, 429, 429] {
            let ready = tokio::time::timeout(PATIENCE, service.ready()).await;
            let response = ready.expect("a place is free").unwrap().call(request("/"));
            assert_eq!(response.await.unwrap().status(), status);
        }
        // While a request holds the only place, the service is not ready.
        let held = service.ready().await.unwrap().call(request("/free"));
        let waited = tokio::time::timeout(Duration::from_millis(20), service.ready()).await;
        assert!(waited.is_err());
        assert_eq!(held.await.unwrap().status(), 200);
        service.ready().await.unwrap();
    });
}
