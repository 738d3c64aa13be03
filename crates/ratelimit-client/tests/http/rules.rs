//! The limit that a request counts against.

use http::StatusCode;
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule};
use ratelimit_client::Policy;
use ratelimit_harness::{Server, Setup};

use crate::instance::{by_address, hello, limiter, on_every_server, Instance, HOUR};

fn keys(server: &Server) -> Vec<String> {
    let keys = server.connect().must("KEYS *");
    let mut keys: Vec<_> = keys.array().iter().map(|key| key.text()).collect();
    keys.sort();
    keys
}

#[test]
fn each_route_has_a_policy_of_its_own_or_none() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let limiter = limiter(&server).await;
        let layer = RateLimitLayer::per_request(limiter, KeyExtractor::shared(), |request| {
            match request.uri.path() {
                "/health" => None,
                "/upload" => Some(Rule::new("uploads", Policy::bucket(1, HOUR))),
                _ => Some(Rule::new("api", Policy::fixed(2, HOUR))),
            }
        });
        let instance = Instance::of(hello().layer(layer)).await;
        for (path, statuses) in
            [("/upload", [200, 429, 429]), ("/", [200, 200, 429]), ("/health", [200, 200, 200])]
        {
            for status in statuses {
                assert_eq!(instance.get(path).await.status.as_u16(), status, "{path}");
            }
        }
        let free = instance.get("/health").await;
        assert_eq!((free.field("ratelimit"), free.body.as_str()), (String::new(), "hello"));
        assert_eq!(keys(&server), ["api:all", "uploads:all"]);
    });
}

#[test]
fn a_client_is_limited_by_the_address_that_the_proxy_saw() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let rule = Rule::new("api", Policy::fixed(1, HOUR));
        let layer = RateLimitLayer::new(limiter(&server).await, rule, by_address());
        let instance = Instance::of(hello().layer(layer)).await;
        let cases = [
            ("203.0.113.7", 200),
            // An element that the client adds in front changes nothing.
            ("1.1.1.1, 203.0.113.7", 429),
            ("203.0.113.8", 200),
            ("2001:db8::1", 200),
            ("2001:db8::2", 429),
            ("[2001:db8:0:1::1]:443", 200),
            // A malformed header makes the request share the peer's limit.
            ("garbage", 200),
            ("other garbage", 429),
            ("", 429),
        ];
        for (forwarded_for, status) in cases {
            let reply = instance.get_with("/", &[("x-forwarded-for", forwarded_for)]).await;
            assert_eq!(reply.status.as_u16(), status, "{forwarded_for}");
        }
        assert_eq!(instance.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
        let addresses =
            ["127.0.0.1", "2001:db8:0:1::/64", "2001:db8::/64", "203.0.113.7", "203.0.113.8"];
        assert_eq!(keys(&server), addresses.map(|address| format!("api:ip:{address}")));
    });
}

#[test]
fn requests_without_the_header_share_one_limit_if_asked_for() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let tenant = KeyExtractor::header("x-tenant").or_shared();
        let key = tenant.and(KeyExtractor::bearer().or_shared());
        let rule = Rule::new("api", Policy::fixed(1, HOUR));
        let layer = RateLimitLayer::new(limiter(&server).await, rule, key);
        let instance = Instance::of(hello().layer(layer)).await;
        let cases: [(&[(&str, &str)], u16); 6] = [
            (&[], 200),
            (&[], 429),
            (&[("authorization", "Basic abc")], 429),
            (&[("x-tenant", "blue")], 200),
            (&[("x-tenant", "blue"), ("authorization", "Bearer abc")], 200),
            (&[("x-tenant", "blue"), ("authorization", "bearer abc")], 429),
        ];
        for (headers, status) in cases {
            assert_eq!(
                instance.get_with("/", headers).await.status.as_u16(),
                status,
                "{headers:?}"
            );
        }
        let expected = [
            "api:no-x-tenant|no-bearer",
            "api:x-tenant:blue|bearer:#a9993e364706816aba3e25717850c26c9cd0d89d",
            "api:x-tenant:blue|no-bearer",
        ];
        assert_eq!(keys(&server), expected);
    });
}
