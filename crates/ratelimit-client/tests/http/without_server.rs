//! Requests while the server does not answer, or answers errors.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use ratelimit_client::http::RateLimitLayer;
use ratelimit_client::{Error, Limiter, OnFailure, Policy};
use ratelimit_harness::{Server, Setup};
use serde_json::json;

use crate::instance::{connect, hello, limiter, on_every_server, shared, Instance, Reply, HOUR};

const DEADLINE: Duration = Duration::from_millis(200);

fn signal(server: &Server, signal: &str) {
    let sent = Command::new("kill").args([signal, &server.pid().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

async fn layer(server: &Server, on_failure: OnFailure) -> RateLimitLayer {
    // A short pause, so that a server that is back is noticed soon.
    let limiter = Limiter::redis(connect(server).await, on_failure);
    let limiter = limiter.circuit_breaker(5, Duration::from_millis(20)).build();
    shared(limiter, Policy::fixed(10, HOUR))
}

/// Waits until the server decides again.
async fn is_back(instance: &Instance) -> Reply {
    loop {
        let reply = instance.get("/").await;
        if reply.status == StatusCode::OK && reply.field("ratelimit").starts_with(r#""api";r="#) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn failing_closed_is_503_until_the_server_is_back() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = layer(&server, OnFailure::closed_after(DEADLINE)).await;
        let instance = Instance::of(hello().layer(layer)).await;
        signal(&server, "-STOP");
        for _ in 0..7 {
            let reply = instance.get("/").await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
            let detail = "the rate limit could not be checked";
            let expected = json!({"title": "Service Unavailable", "status": 503, "detail": detail});
            assert_eq!(reply.problem(), expected);
            let names = ["retry-after", "ratelimit", "ratelimit-policy"];
            assert_eq!(names.map(|name| reply.field(name)), [""; 3]);
        }
        signal(&server, "-CONT");
        let back = tokio::time::timeout(Duration::from_secs(60), is_back(&instance)).await;
        assert_eq!(back.expect("it comes back").body, "hello");
    });
}

#[test]
fn failing_open_is_200_without_a_ratelimit_field() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = layer(&server, OnFailure::open_after(DEADLINE)).await.legacy_fields();
        let instance = Instance::of(hello().layer(layer)).await;
        signal(&server, "-STOP");
        for _ in 0..12 {
            let reply = instance.get("/").await;
            assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "hello"));
            assert_eq!(reply.field("ratelimit-policy"), r#""api";q=10;w=3600"#);
            let names = ["ratelimit", "x-ratelimit-limit"];
            assert_eq!(names.map(|name| reply.field(name)), [""; 2]);
        }
    });
}

#[test]
fn deciding_locally_allows_the_share() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let mut instances = Vec::new();
        for _ in 0..5 {
            let layer = layer(&server, OnFailure::local_after(DEADLINE, 5, 1000)).await;
            instances.push(Instance::of(hello().layer(layer)).await);
        }
        signal(&server, "-STOP");
        for instance in &instances {
            for (status, ratelimit) in [(200, "r=1;"), (200, "r=0;"), (429, "r=0;")] {
                let reply = instance.get("/").await;
                assert_eq!(reply.status.as_u16(), status);
                assert!(reply.field("ratelimit").contains(ratelimit));
                assert_eq!(reply.field("retry-after").is_empty(), status == 200);
            }
        }
    });
}

#[test]
fn an_error_of_the_server_is_503_with_the_reason_in_an_extension() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        server.connect().must("RPUSH api:all x");
        let tell = |mut response: Response| async move {
            let why = response.extensions().get::<Arc<Error>>().map(|error| error.to_string());
            let why = why.unwrap_or_default().parse().expect("a header");
            response.headers_mut().insert("x-why", why);
            response
        };
        let layer = shared(limiter(&server).await, Policy::fixed(10, HOUR));
        let app = hello().layer(layer).layer(axum::middleware::map_response(tell));
        let reply = Instance::of(app).await.get("/").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!reply.body.contains("WRONGTYPE"), "{}", reply.body);
        assert!(reply.field("x-why").contains("WRONGTYPE"), "{}", reply.field("x-why"));
    });
}
