//! The layer around a service of hyper, without a framework.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use ratelimit_client::Policy;
use ratelimit_harness::Setup;
use tokio::net::TcpListener;
use tower::{service_fn, Layer};

use crate::instance::{limiter, on_every_server, shared, Instance, HOUR};

#[test]
fn a_service_of_hyper_is_limited_like_any_other() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let hello = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
        });
        let service = shared(limiter(&server).await, Policy::fixed(2, HOUR)).layer(hello);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let instance = Instance::at(listener.local_addr().expect("its port"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        for (status, body) in [(200, "hello"), (200, "hello"), (429, "quota-exceeded")] {
            let reply = instance.get("/").await;
            assert_eq!(reply.status.as_u16(), status);
            assert!(reply.body.contains(body), "{}", reply.body);
            assert_eq!(reply.field("ratelimit-policy"), r#""api";q=2;w=3600"#);
        }
    });
}
