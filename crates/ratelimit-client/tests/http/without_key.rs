//! Requests that nothing can be counted by: without an address, without a value, with two.

use axum::response::Response;
use axum::Router;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use ratelimit_client::http::{KeyExtractor, NoKey, RateLimitLayer, Reason, Rule};
use ratelimit_client::{Limiter, Policy};
use ratelimit_harness::{Server, Setup};
use serde_json::json;
use tokio::net::TcpListener;

use crate::instance::{by_address, hello, limiter, on_every_server, Instance, Reply, HOUR};

/// The field in which an outer layer reports the reason of a refusal.
const WHY: &str = "x-why";

fn layer(limiter: Limiter, key: KeyExtractor) -> RateLimitLayer {
    RateLimitLayer::new(limiter, Rule::new("api", Policy::fixed(1, HOUR)), key)
}

async fn report_reason(mut response: Response) -> Response {
    let why = response.extensions().get::<NoKey>().map(ToString::to_string);
    let why = why.unwrap_or_default().parse().expect("a header");
    response.headers_mut().insert(WHY, why);
    response
}

async fn app(server: &Server, key: KeyExtractor) -> Router {
    let layer = layer(limiter(server).await, key);
    hello().layer(layer).layer(axum::middleware::map_response(report_reason))
}

/// Serves as a program does that forgets the addresses of the connections.
async fn without_connect_info(app: Router) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its port");
    tokio::spawn(async move { axum::serve(listener, app).await });
    Instance::at(address)
}

fn assert_refused(reply: &Reply, status: u16, title: &str, detail: &str) {
    assert_eq!(reply.status.as_u16(), status);
    assert_eq!(reply.problem(), json!({"title": title, "status": status, "detail": detail}));
    let names = ["retry-after", "ratelimit", "ratelimit-policy"];
    assert_eq!(names.map(|name| reply.field(name)), [""; 3]);
}

#[test]
fn without_the_address_of_the_connection_is_500_and_nothing_is_counted() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let instance = without_connect_info(app(&server, by_address()).await).await;
        for _ in 0..3 {
            let reply = instance.get_with("/", &[("x-forwarded-for", "203.0.113.7")]).await;
            let detail = "the address of the client is not known";
            assert_refused(&reply, 500, "Internal Server Error", detail);
            assert_eq!(reply.field(WHY), NoKey::NoPeer.to_string());
        }
        assert_eq!(server.connect().must("DBSIZE").integer(), 0);
        let found = Instance::of(app(&server, by_address()).await).await;
        assert_eq!(found.get("/").await.status, StatusCode::OK);
    });
}

#[test]
fn a_shared_limit_without_the_address_must_be_asked_for() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let app = app(&server, by_address().or_shared()).await;
        let instance = without_connect_info(app).await;
        assert_eq!(instance.get("/").await.status, StatusCode::OK);
        assert_eq!(instance.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(server.connect().must("EXISTS api:no-ip").integer(), 1);
    });
}

#[test]
fn a_missing_value_or_two_lines_of_it_is_400_and_nothing_is_counted() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let key = KeyExtractor::secret_header("x-api-key");
        let instance = Instance::of(app(&server, key).await).await;
        let (one, other, empty) = (("X-API-Key", "one"), ("x-api-key", "two"), ("x-api-key", ""));
        let missing = "the request has no x-api-key";
        let two = "the request has more than one x-api-key";
        let cases: [(&[_], _); 5] = [
            (&[], missing),
            (&[empty], missing),
            (&[one, other], two),
            (&[one, one], two),
            (&[one, empty], two),
        ];
        for (headers, detail) in cases {
            let reply = instance.get_with("/", headers).await;
            assert_refused(&reply, 400, "Bad Request", detail);
            assert_eq!(reply.field(WHY), detail);
        }
        assert_eq!(server.connect().must("DBSIZE").integer(), 0);
        assert_eq!(instance.get_with("/", &[one]).await.status, StatusCode::OK);
        assert_eq!(instance.get_with("/", &[one]).await.status, StatusCode::TOO_MANY_REQUESTS);
    });
}

#[test]
fn two_lines_are_refused_where_a_missing_value_counts_by_address() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let key = KeyExtractor::secret_header("x-api-key").or(by_address());
        let instance = Instance::of(app(&server, key).await).await;
        assert_eq!(instance.get("/").await.status, StatusCode::OK);
        let twice = [("x-api-key", "one"), ("x-api-key", "two")];
        assert_eq!(instance.get_with("/", &twice).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(server.connect().must("KEYS *").array().len(), 1);
        assert_eq!(server.connect().must("EXISTS api:ip:127.0.0.1").integer(), 1);
    });
}

#[test]
fn the_program_chooses_the_response_to_a_missing_value() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let layer = layer(limiter(&server).await, KeyExtractor::bearer());
        let layer = layer.respond(|refusal| {
            let Reason::NoKey(NoKey::Missing { .. }) = refusal.reason else {
                return refusal.to_response();
            };
            let mut response = http::Response::new("no token".into());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        });
        let instance = Instance::of(hello().layer(layer)).await;
        let missing = instance.get("/").await;
        let seen = (missing.status, missing.field("www-authenticate"), missing.body.as_str());
        assert_eq!(seen, (StatusCode::UNAUTHORIZED, "Bearer".to_owned(), "no token"));
        let token = ("authorization", "Bearer abc");
        assert_eq!(instance.get_with("/", &[token, token]).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(instance.get_with("/", &[token]).await.status, StatusCode::OK);
        assert_eq!(instance.get_with("/", &[token]).await.status, StatusCode::TOO_MANY_REQUESTS);
    });
}

#[cfg(feature = "tracing")]
mod log {
    use std::convert::Infallible;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use ratelimit_client::http::{KeyExtractor, TrustedProxies};
    use ratelimit_client::Limiter;
    use tower::{service_fn, Layer, ServiceExt};

    use super::layer;
    use crate::instance::block_on;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that ten requests without a key, and ten with two, leave in the log.
    fn logged(key: KeyExtractor) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).without_time();
        let log = log.with_writer(move || writer.clone()).finish();
        let hello = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
        });
        let service = layer(Limiter::memory(9).build(), key).layer(hello);
        tracing::subscriber::with_default(log, || {
            block_on(async {
                for _ in 0..10 {
                    let with = |name| Request::get("/").header("x-tenant", "a").header(name, "b");
                    for request in [Request::get("/"), with("x-tenant")] {
                        let request = request.body(()).expect("a request");
                        service.clone().oneshot(request).await.expect("a response");
                    }
                }
            });
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    const WHO: &str = "WARN ratelimit_client::http::log: ";

    #[test]
    fn each_reason_of_a_refusal_is_logged_once() {
        let line = |reason: &str| {
            format!(
                "{WHO}requests without a key are refused; this is logged once limit=\"api\" \
                 reason={reason}"
            )
        };
        let expected = ["the request has no x-tenant", "the request has more than one x-tenant"];
        assert_eq!(logged(KeyExtractor::header("x-tenant")), expected.map(line));
        let no_peer = KeyExtractor::address(TrustedProxies::direct(), |_| None);
        let expected = line("the HTTP server gave no address of the connection");
        assert_eq!(logged(no_peer), [expected]);
    }

    #[test]
    fn a_shared_limit_is_logged_once() {
        let shared = format!(
            "{WHO}requests share one rate limit; this is logged once limit=\"no-x-tenant\" \
             reason=the request has no x-tenant"
        );
        let lines = logged(KeyExtractor::header("x-tenant").or_shared());
        assert_eq!(lines[0], shared);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(logged(KeyExtractor::shared()), [""; 0]);
    }
}
