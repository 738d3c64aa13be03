//! The layer around the layers of tower-http, and inside them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
use ratelimit_client::{Limiter, Policy};
use tower::{service_fn, Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::instance::{block_on, HOUR, PATIENCE};

const TEXT: &str = "hello";

/// Allows one request.
fn limit() -> RateLimitLayer {
    let rule = Rule::new("api", Policy::fixed(1, HOUR));
    RateLimitLayer::new(Limiter::memory(9).build(), rule, KeyExtractor::shared())
}

fn timeout(after: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, after)
}

async fn hello(_: Request<String>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Long enough to be worth compressing.
    Ok(Response::new(Full::from(TEXT.repeat(100))))
}

/// Sends two requests: the first is allowed, the second denied. Returns whether each response was
/// compressed.
async fn limited<S, B>(mut service: S) -> [bool; 2]
where
    S: Service<Request<String>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body,
    B::Error: std::fmt::Debug,
{
    let mut compressed = [false; 2];
    for (status, compressed) in
        [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].into_iter().zip(&mut compressed)
    {
        let request = Request::get("/").header(ACCEPT_ENCODING, "gzip").body(String::new());
        let response = service.ready().await.unwrap().call(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.headers().contains_key("ratelimit-policy"));
        *compressed = response.headers().contains_key(CONTENT_ENCODING);
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert!(!body.is_empty());
        if !*compressed {
            let text = String::from_utf8(body.to_vec()).expect("text");
            assert!(text.contains(if status.is_success() { TEXT } else { "quota-exceeded" }));
        }
    }
    compressed
}

#[test]
fn a_timeout_composes_in_either_order() {
    block_on(async {
        let service = service_fn(hello);
        let around = ServiceBuilder::new().layer(timeout(PATIENCE)).layer(limit());
        limited(around.service(service)).await;
        let inside = ServiceBuilder::new().layer(limit()).layer(timeout(PATIENCE));
        limited(inside.service(service)).await;
    });
}

#[test]
fn a_response_of_the_timeout_layer_is_empty() {
    block_on(async {
        let never = service_fn(|_: Request<String>| {
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        });
        let service = timeout(Duration::from_millis(1)).layer(limit().layer(never));
        let response = service.oneshot(Request::new(String::new())).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    });
}

#[test]
fn compression_composes_in_either_order() {
    block_on(async {
        let around = ServiceBuilder::new().layer(CompressionLayer::new()).layer(limit());
        assert_eq!(limited(around.service_fn(hello)).await, [true, true]);
        let inside = ServiceBuilder::new().layer(limit()).layer(CompressionLayer::new());
        assert_eq!(limited(inside.service_fn(hello)).await, [true, false]);
    });
}

#[test]
fn tracing_composes_in_either_order() {
    block_on(async {
        let around = ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(limit());
        limited(around.service_fn(hello)).await;
        let inside = ServiceBuilder::new().layer(limit()).layer(TraceLayer::new_for_http());
        limited(inside.service_fn(hello)).await;
    });
}

#[test]
fn all_compose_at_once() {
    block_on(async {
        let stack = ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CompressionLayer::new())
            .layer(timeout(PATIENCE))
            .layer(limit());
        limited(stack.service_fn(hello)).await;
        let stack = ServiceBuilder::new()
            .layer(limit())
            .layer(TraceLayer::new_for_http())
            .layer(CompressionLayer::new())
            .layer(timeout(PATIENCE));
        limited(stack.service_fn(hello)).await;
    });
}

#[test]
fn a_denial_of_the_inner_layer_was_counted_by_the_outer_one_and_not_the_reverse() {
    block_on(async {
        let limiter = Limiter::memory(9).build();
        let (narrow, wide) = (Policy::fixed(1, HOUR), Policy::fixed(5, HOUR));
        let layer = |name, policy: &Policy| {
            RateLimitLayer::new(limiter.clone(), Rule::new(name, *policy), KeyExtractor::shared())
        };
        let inside = ServiceBuilder::new().layer(layer("a", &wide)).layer(layer("b", &narrow));
        limited(inside.service_fn(hello)).await;
        assert_eq!(limiter.peek("a:all", &wide).await.unwrap().quota().remaining, 3);
        let outside = ServiceBuilder::new().layer(layer("c", &narrow)).layer(layer("d", &wide));
        limited(outside.service_fn(hello)).await;
        assert_eq!(limiter.peek("d:all", &wide).await.unwrap().quota().remaining, 4);
    });
}

#[test]
fn the_inner_service_can_be_reached() {
    let mut service = limit().layer(7);
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
}
