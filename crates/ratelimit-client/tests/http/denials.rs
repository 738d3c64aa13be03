//! Allowed and denied requests, and the response to a denial.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

use axum::Extension;
use axum::{routing::any, Router};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use ratelimit_client::http::{RateLimitLayer, Reason};
use ratelimit_client::{Answer, Policy};
use ratelimit_harness::Setup;
use serde_json::json;

use crate::instance::{hello, limiter, on_every_server, shared, Instance, HOUR};

const TYPE: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const TITLE: &str = "Request cannot be satisfied as assigned quota has been exceeded";

#[test]
fn five_instances_that_share_a_limit_allow_exactly_the_limit() {
    on_every_server(|binary| async move {
        for setup in [Setup::module(binary), Setup::plain(binary)] {
            let server = setup.start();
            let mut instances = Vec::new();
            for _ in 0..5 {
                let layer = shared(limiter(&server).await, Policy::sliding(50, HOUR));
                instances.push(Instance::of(hello().layer(layer)).await);
            }
            let asked = (0..200).map(|i| instances[i % 5].get("/"));
            let replies = join_all(asked).await;
            let count = |status| replies.iter().filter(|reply| reply.status == status).count();
            assert_eq!((count(StatusCode::OK), count(StatusCode::TOO_MANY_REQUESTS)), (50, 150));
        }
    });
}

#[test]
fn a_denial_is_a_problem_that_names_its_policy() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = shared(limiter(&server).await, Policy::fixed(1, HOUR));
        let instance = Instance::of(hello().layer(layer)).await;
        assert_eq!(instance.get("/").await.body, "hello");
        let denied = instance.get("/").await;
        assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS);
        let expected =
            json!({"type": TYPE, "title": TITLE, "status": 429, "violated-policies": ["api"]});
        assert_eq!(denied.problem(), expected);
    });
}

#[test]
fn a_call_that_can_never_pass_has_no_retry_after() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = shared(limiter(&server).await, Policy::fixed(5, HOUR));
        let app = hello().layer(layer.cost(|request| match request.uri.path() {
            "/large" => 6,
            "/huge" => u64::MAX,
            "/none" => 0,
            _ => 3,
        }));
        let instance = Instance::of(app).await;
        for path in ["/large", "/huge"] {
            let never = instance.get(path).await;
            assert_eq!(never.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
            assert_eq!(never.field("retry-after"), "");
            assert_eq!(never.field("ratelimit"), r#""api";r=5"#);
            assert_eq!(never.problem()["detail"], "its cost is above the limit: it can never pass");
        }
        // A cost of 0 counts as 1. The rest is too little for a cost of 3.
        assert!(instance.get("/").await.field("ratelimit").starts_with(r#""api";r=2;"#));
        assert!(instance.get("/none").await.field("ratelimit").starts_with(r#""api";r=1;"#));
        assert_eq!(instance.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
    });
}

#[test]
fn a_response_of_the_callers_own_has_the_fields() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer: RateLimitLayer = shared(limiter(&server).await, Policy::fixed(1, HOUR));
        let app = hello().layer(layer.respond(|refusal| {
            let Reason::Denied(answer) = refusal.reason else { panic!("{refusal:?}") };
            let limit = answer.quota().limit;
            let text = format!("{} {} {limit}", refusal.request.uri.path(), refusal.rule.name);
            let response = Response::builder().status(420).header("x-own", "yes");
            response.body(Bytes::from(text)).expect("a response")
        }));
        let instance = Instance::of(app).await;
        instance.get("/a").await;
        let denied = instance.get("/a").await;
        assert_eq!((denied.status.as_u16(), denied.body.as_str()), (420, "/a api 1"));
        assert_eq!(
            (denied.field("x-own"), denied.field("content-type")),
            ("yes".into(), "".into())
        );
        assert!(denied.field("ratelimit").starts_with(r#""api";r=0;t="#));
        assert_ne!(denied.field("retry-after"), "");
    });
}

#[test]
fn a_handler_reads_the_answer() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let tell = |Extension(answer): Extension<Answer>| async move {
            format!("{:?}, {} left", answer.source, answer.quota().remaining)
        };
        let layer = shared(limiter(&server).await, Policy::fixed(7, HOUR));
        let instance = Instance::of(Router::new().fallback(any(tell)).layer(layer)).await;
        assert_eq!(instance.get("/").await.body, "Module, 6 left");
    });
}

#[test]
fn a_denied_request_does_not_reach_the_service() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = shared(limiter(&server).await, Policy::fixed(0, HOUR));
        let reached = Arc::new(AtomicBool::new(false));
        let reach = reached.clone();
        let handler = || async move { reach.store(true, Relaxed) };
        let app = Router::new().fallback(any(handler)).layer(layer);
        let denied = Instance::of(app).await.get("/").await;
        assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(!reached.load(Relaxed));
    });
}
