//! The layer around a gRPC service of tonic, called by a client of tonic.

use ratelimit_client::http::{KeyExtractor, RateLimitLayer, Rule, TrustedProxies};
use ratelimit_client::Policy;
use ratelimit_harness::{Server, Setup};
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::HealthCheckRequest;

use crate::instance::{limiter, on_every_server, HOUR};

async fn serve(server: &Server, policy: Policy) -> HealthClient<Channel> {
    let key = KeyExtractor::address(TrustedProxies::direct(), |request| {
        Some(request.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip())
    });
    serve_by(server, policy, key).await
}

async fn serve_by(server: &Server, policy: Policy, key: KeyExtractor) -> HealthClient<Channel> {
    let layer = RateLimitLayer::new(limiter(server).await, Rule::new("grpc", policy), key);
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = incoming.local_addr().expect("its port");
    let (_, health) = tonic_health::server::health_reporter();
    let service = tonic::transport::Server::builder().layer(layer).add_service(health);
    tokio::spawn(service.serve_with_incoming(incoming));
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("it accepts a connection"))
}

async fn check(client: &mut HealthClient<Channel>) -> Result<String, Status> {
    let response = client.check(HealthCheckRequest::default()).await?;
    Ok(response.metadata().get("ratelimit").expect("a field").to_str().expect("ASCII").to_owned())
}

#[test]
fn a_denied_grpc_call_is_resource_exhausted() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let mut client = serve(&server, Policy::fixed(2, HOUR)).await;
        assert_eq!(check(&mut client).await.unwrap(), r#""grpc";r=1;t=3600"#);
        check(&mut client).await.unwrap();
        let denied = check(&mut client).await.unwrap_err();
        assert_eq!(
            (denied.code(), denied.message()),
            (Code::ResourceExhausted, "rate limit exceeded")
        );
        let retry_after = denied.metadata().get("retry-after").expect("a field").to_str().unwrap();
        assert!((1..=3600).contains(&retry_after.parse::<u64>().unwrap()));
        assert_eq!(server.connect().must("EXISTS grpc:ip:127.0.0.1").integer(), 1);
    });
}

#[test]
fn a_grpc_call_that_cannot_be_checked_is_unavailable() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        server.connect().must("RPUSH grpc:ip:127.0.0.1 x");
        let mut client = serve(&server, Policy::fixed(2, HOUR)).await;
        let status = check(&mut client).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the rate limit could not be checked");
    });
}

#[test]
fn a_grpc_call_without_a_key_is_an_invalid_argument_and_without_an_address_internal() {
    on_every_server(|binary| async move {
        let server = Setup::module(binary).start();
        let address = KeyExtractor::address(TrustedProxies::direct(), |_| None);
        let cases = [
            (
                KeyExtractor::bearer(),
                Code::InvalidArgument,
                "the call has no key for its rate limit",
            ),
            (address, Code::Internal, "the address of the client is not known"),
        ];
        for (key, code, message) in cases {
            let mut client = serve_by(&server, Policy::fixed(2, HOUR), key).await;
            let status = check(&mut client).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message));
        }
        assert_eq!(server.connect().must("DBSIZE").integer(), 0);
    });
}
