//! The exact header fields, with a frozen clock.

use std::time::Duration;

use http::StatusCode;
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
use ratelimit_client::Policy;
use ratelimit_harness::{Frozen, T0_MICROS};

use crate::instance::{hello, limiter, on_every_server, shared, Instance};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn all_responses_carry_the_fields_in_seconds_rounded_up() {
    on_every_server(|binary| async move {
        let mut frozen = Frozen::start(binary);
        let layer = shared(limiter(&frozen.server).await, Policy::fixed(2, MINUTE));
        let instance = Instance::of(hello().layer(layer)).await;
        let cases = [
            (0, 200, r#""api";r=1;t=60"#, ""),
            (1, 200, r#""api";r=0;t=60"#, ""),
            (1_000, 429, r#""api";r=0;t=59"#, "59"),
            (1_001, 429, r#""api";r=0;t=59"#, "59"),
            (47_999, 429, r#""api";r=0;t=13"#, "13"),
            (48_000, 429, r#""api";r=0;t=12"#, "12"),
            (59_999, 429, r#""api";r=0;t=1"#, "1"),
            (60_000, 200, r#""api";r=1;t=60"#, ""),
        ];
        for (after_ms, status, ratelimit, retry_after) in cases {
            frozen.set_clock(T0_MICROS + after_ms * 1000);
            let reply = instance.get("/").await;
            assert_eq!(reply.status.as_u16(), status, "after {after_ms} ms");
            assert_eq!(reply.field("ratelimit-policy"), r#""api";q=2;w=60"#);
            assert_eq!(reply.field("ratelimit"), ratelimit, "after {after_ms} ms");
            assert_eq!(reply.field("retry-after"), retry_after, "after {after_ms} ms");
            assert!(!reply.headers.contains_key("x-ratelimit-limit"));
        }
    });
}

#[test]
fn several_pairs_are_several_items() {
    on_every_server(|binary| async move {
        let frozen = Frozen::start(binary);
        let policy = Policy::fixed(2, MINUTE).and(10, 60 * MINUTE);
        let layer = shared(limiter(&frozen.server).await, policy);
        let instance = Instance::of(hello().layer(layer)).await;
        let allowed = instance.get("/").await;
        let policies = r#""api-1m";q=2;w=60, "api-1h";q=10;w=3600"#;
        assert_eq!(allowed.field("ratelimit-policy"), policies);
        assert_eq!(allowed.field("ratelimit"), r#""api-1m";r=1;t=60, "api-1h";r=9;t=3600"#);
        instance.get("/").await;
        let denied = instance.get("/").await;
        assert_eq!(denied.field("ratelimit"), r#""api-1m";r=0;t=60, "api-1h";r=8;t=3600"#);
        assert_eq!(denied.field("retry-after"), "60");
        assert_eq!(denied.problem()["violated-policies"], serde_json::json!(["api-1m"]));
    });
}

#[test]
fn a_bucket_reports_when_the_call_passes_not_when_it_is_full() {
    on_every_server(|binary| async move {
        let frozen = Frozen::start(binary);
        let layer = shared(limiter(&frozen.server).await, Policy::bucket(10, MINUTE).burst(2));
        let instance = Instance::of(hello().layer(layer)).await;
        let fields =
            |reply: crate::instance::Reply| (reply.field("ratelimit"), reply.field("retry-after"));
        assert_eq!(fields(instance.get("/").await), (r#""api";r=1;t=6"#.into(), "".into()));
        assert_eq!(fields(instance.get("/").await), (r#""api";r=0;t=12"#.into(), "".into()));
        assert_eq!(fields(instance.get("/").await), (r#""api";r=0;t=6"#.into(), "6".into()));
    });
}

#[test]
fn the_older_fields_are_added_by_a_switch() {
    on_every_server(|binary| async move {
        let frozen = Frozen::start(binary);
        let layer = shared(limiter(&frozen.server).await, Policy::fixed(1, MINUTE)).legacy_fields();
        let instance = Instance::of(hello().layer(layer)).await;
        for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            let reply = instance.get("/").await;
            let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
            assert_eq!(names.map(|name| reply.field(name)), ["1", "0", "60"]);
            assert_eq!(
                (reply.status, reply.field("ratelimit").as_str()),
                (status, r#""api";r=0;t=60"#)
            );
        }
    });
}

#[test]
fn layers_around_each_other_each_add_their_items() {
    on_every_server(|binary| async move {
        let frozen = Frozen::start(binary);
        let limiter = limiter(&frozen.server).await;
        let layer = |name: &'static str, limit| {
            let rule = Rule::new(name, Policy::fixed(limit, MINUTE));
            RateLimitLayer::new(limiter.clone(), rule, KeyExtractor::shared())
        };
        let app = hello().layer(layer("user", 1)).layer(layer("all", 9));
        let instance = Instance::of(app).await;
        let allowed = instance.get("/").await;
        assert_eq!(allowed.field("ratelimit"), r#""user";r=0;t=60, "all";r=8;t=60"#);
        let denied = instance.get("/").await;
        assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(denied.field("ratelimit"), r#""user";r=0;t=60, "all";r=7;t=60"#);
        assert_eq!(denied.field("retry-after"), "60");
    });
}
