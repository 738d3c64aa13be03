//! `rediss://` with no feature but `tls`: the program installs no cryptography of its own.

use std::fs;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

use ratelimit_client::redis::{Client, IntoConnectionInfo, TlsCertificates};
use ratelimit_client::{Limiter, OnFailure, Policy, Source};
use ratelimit_harness::{not_applicable, on_every_server, Server, Setup};
use tempfile::TempDir;

const ON_FAILURE: OnFailure = OnFailure::closed_after(Duration::from_secs(30));
const POLICY: Policy = Policy::fixed(5, Duration::from_secs(3600));

/// A server that accepts TLS on a second port, with a certificate made for this test.
struct Encrypted {
    server: Server,
    port: u16,
    authority: Vec<u8>,
    key: Vec<u8>,
    _files: TempDir,
}

impl Encrypted {
    /// `None` if the server was built without TLS.
    fn start(setup: Setup) -> Option<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("names");
        let files = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: String| {
            let path = files.path().join(name);
            fs::write(&path, content).expect("a file");
            path.display().to_string()
        };
        let certificate = file("certificate", made.cert.pem());
        let key = file("key", made.signing_key.serialize_pem());
        let port = free_port();
        let setup = setup
            .with(&format!("tls-port {port}"))
            .with(&format!("tls-cert-file {certificate}"))
            .with(&format!("tls-key-file {key}"))
            .with(&format!("tls-ca-cert-file {certificate}"));
        match setup.try_start() {
            Ok(server) => {
                let authority = made.cert.pem().into_bytes();
                let key = made.signing_key.serialize_pem().into_bytes();
                Some(Self { server, port, authority, key, _files: files })
            }
            Err(log) if log.contains("TLS") || log.contains("Bad directive") => None,
            Err(log) => panic!("the server did not start:\n{log}"),
        }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: Some(self.authority.clone()) }
    }

    fn client(&self) -> Client {
        let server = self.url().into_connection_info().expect("an address");
        Client::build_with_tls(server, self.certificates()).expect("a client")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn on_each<F: Future<Output = ()>>(change: fn(Setup) -> Setup, test: impl Fn(Encrypted) -> F) {
    let setup = |binary| change(Setup::module(binary).with("tls-auth-clients no"));
    on_every_server(|binary| match Encrypted::start(setup(binary)) {
        Some(encrypted) => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(test(encrypted));
        }
        None => not_applicable(binary, "rediss://", "it was built without TLS"),
    });
}

async fn assert_decides(limiter: Limiter) {
    let answer = limiter.check("k", &POLICY).await.expect("an answer");
    assert!(answer.is_allowed() && answer.source == Source::Module);
}

#[test]
fn a_connection_is_encrypted() {
    on_each(std::convert::identity, |encrypted| async move {
        let connection = encrypted.client().get_multiplexed_async_connection().await;
        let limiter = Limiter::redis(connection.expect("a connection"), ON_FAILURE);
        assert_decides(limiter.build()).await;
        assert_eq!(encrypted.server.connect().must("EXISTS k").integer(), 1);
    });
}

#[test]
fn an_unknown_certificate_is_an_error_and_no_panic() {
    on_each(std::convert::identity, |encrypted| async move {
        let client = Client::open(encrypted.url()).expect("an address");
        assert!(client.get_multiplexed_async_connection().await.is_err());
    });
}

#[test]
#[cfg(feature = "reconnect")]
fn a_connection_manager_is_encrypted() {
    use ratelimit_client::redis::aio::{ConnectionManager, ConnectionManagerConfig};
    on_each(std::convert::identity, |encrypted| async move {
        let config = ConnectionManagerConfig::new();
        let manager = ConnectionManager::new_lazy_with_config(encrypted.client(), config);
        assert_decides(Limiter::redis(manager.expect("a manager"), ON_FAILURE).build()).await;
    });
}

#[test]
#[cfg(feature = "reconnect")]
fn a_connection_from_an_address_is_encrypted_by_the_given_authority_alone() {
    use ratelimit_client::{Connection, ConnectionOptions, Error};
    on_each(std::convert::identity, |encrypted| async move {
        let limiter = |options| {
            let connection = Connection::single(encrypted.url(), options).expect("an address");
            Limiter::redis(connection, ON_FAILURE).build()
        };
        let known = ConnectionOptions::new().certificates(encrypted.certificates());
        assert_decides(limiter(known)).await;
        let unknown = limiter(ConnectionOptions::new()).check("k", &POLICY).await;
        assert!(matches!(unknown, Err(Error::Unavailable(_))), "{unknown:?}");
    });
}

#[test]
#[cfg(feature = "reconnect")]
fn a_certificate_of_the_client_is_shown_to_the_server() {
    use ratelimit_client::redis::ClientTlsConfig;
    use ratelimit_client::{Connection, ConnectionOptions, Error};
    let wants_one = |setup: Setup| setup.with("tls-auth-clients yes");
    on_each(wants_one, |encrypted| async move {
        let limiter = |client_tls| {
            let certificates = TlsCertificates { client_tls, ..encrypted.certificates() };
            let options = ConnectionOptions::new().certificates(certificates);
            let connection = Connection::single(encrypted.url(), options).expect("an address");
            Limiter::redis(connection, ON_FAILURE).build()
        };
        let without = limiter(None).check("k", &POLICY).await;
        assert!(matches!(without, Err(Error::Unavailable(_))), "{without:?}");
        let (client_cert, client_key) = (encrypted.authority.clone(), encrypted.key.clone());
        assert_decides(limiter(Some(ClientTlsConfig { client_cert, client_key }))).await;
        let unreadable =
            Some(ClientTlsConfig { client_cert: b"x".into(), client_key: b"y".into() });
        let certificates = TlsCertificates { client_tls: unreadable, ..encrypted.certificates() };
        let options = ConnectionOptions::new().certificates(certificates);
        assert!(Connection::single(encrypted.url(), options).is_err());
    });
}

#[test]
#[cfg(feature = "cluster")]
fn a_connection_to_a_cluster_is_encrypted() {
    use ratelimit_client::redis::cluster::ClusterClient;
    use ratelimit_client::{Connection, ConnectionOptions};
    let in_cluster = |setup: Setup| {
        setup
            .with("cluster-enabled yes")
            .with("tls-cluster yes")
            .with("cluster-announce-ip 127.0.0.1")
    };
    on_each(in_cluster, |encrypted| async move {
        let mut control = encrypted.server.connect();
        control.must("CLUSTER ADDSLOTSRANGE 0 16383");
        ratelimit_harness::eventually("the cluster is up", || {
            control.must("CLUSTER INFO").text().contains("cluster_state:ok")
        });
        let client = ClusterClient::builder([encrypted.url()]).certs(encrypted.certificates());
        let connection = client.build().expect("addresses").get_async_connection().await;
        assert_decides(Limiter::redis(connection.expect("a cluster"), ON_FAILURE).build()).await;
        let options = ConnectionOptions::new().certificates(encrypted.certificates());
        let connection = Connection::cluster([encrypted.url()], options).expect("an address");
        assert_decides(Limiter::redis(connection, ON_FAILURE).build()).await;
    });
}
