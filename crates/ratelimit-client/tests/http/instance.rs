//! An HTTP service on a port of its own, and its client.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::routing::any;
use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule, TrustedProxies};
use ratelimit_client::{redis, Limiter, OnFailure, Policy};
use ratelimit_harness::{Binary, Server};
use tokio::net::TcpListener;

pub const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than a check takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test on each server in turn.
pub fn on_every_server<F: Future<Output = ()>>(test: impl Fn(&'static Binary) -> F) {
    ratelimit_harness::on_every_server(|binary| block_on(test(binary)));
}

pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(test)
}

/// A new connection to the server.
pub async fn connect(server: &Server) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(("127.0.0.1", server.port())).expect("an address");
    client.get_multiplexed_async_connection().await.expect("the server accepts a connection")
}

/// A limiter that fails closed, with a long deadline.
pub async fn limiter(server: &Server) -> Limiter {
    Limiter::redis(connect(server).await, OnFailure::closed_after(PATIENCE)).build()
}

/// All requests share one limit, named `api`.
pub fn shared(limiter: Limiter, policy: Policy) -> RateLimitLayer {
    RateLimitLayer::new(limiter, Rule::new("api", policy), KeyExtractor::shared())
}

/// The key is the client's address. Proxies on this machine are trusted.
pub fn by_address() -> KeyExtractor {
    let addresses = TrustedProxies::behind(["127.0.0.0/8".parse().expect("a network")]);
    KeyExtractor::address(addresses, |request| {
        Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.ip())
    })
}

/// Answers `hello` on every path.
pub fn hello() -> Router {
    Router::new().fallback(any(|| async { "hello" }))
}

pub struct Instance {
    pub address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Instance {
    /// Serves until the runtime of the test ends.
    pub async fn of(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its port");
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self::at(address)
    }

    /// An instance that is served elsewhere.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("a request");
        let response = self.client.request(request).await.expect("the instance answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("text");
        Reply { status: parts.status, headers: parts.headers, body }
    }
}

impl Reply {
    /// The lines of the field, joined. Empty if there is none.
    pub fn field(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter();
        lines.map(|line| line.to_str().expect("ASCII")).collect::<Vec<_>>().join(", ")
    }

    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.field("content-type"), "application/problem+json");
        serde_json::from_str(&self.body).expect("JSON")
    }
}
