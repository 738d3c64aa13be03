//! TLS by rustls, with the certificate authorities of the system or the caller's own.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult, TlsCertificates};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;

/// The certificates are read at each connect, so that renewed authorities of the system are found.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    certificates: Option<&TlsCertificates>,
) -> RedisResult<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host)?.to_owned();
    let connector = TlsConnector::from(Arc::new(config(certificates)?));
    Ok(connector.connect(name, stream).await?)
}

/// Whether the name can be verified and the caller's certificates can be read.
pub(super) fn validate(host: &str, certificates: Option<&TlsCertificates>) -> RedisResult<()> {
    ServerName::try_from(host)?;
    if certificates.is_some() {
        config(certificates)?;
    }
    Ok(())
}

fn config(certificates: Option<&TlsCertificates>) -> RedisResult<ClientConfig> {
    let own_root = certificates.and_then(|certificates| certificates.root_cert.as_deref());
    let roots = match own_root {
        Some(pem) => read(pem)?,
        None => of_the_system()?,
    };
    let config = ClientConfig::builder().with_root_certificates(roots);
    match certificates.and_then(|certificates| certificates.client_tls.as_ref()) {
        None => Ok(config.with_no_client_auth()),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(&own.client_cert).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(&own.client_key).map_err(unreadable)?;
            Ok(config.with_client_auth_cert(chain.map_err(unreadable)?, key)?)
        }
    }
}

fn read(pem: &[u8]) -> RedisResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    Ok(roots)
}

fn of_the_system() -> RedisResult<RootCertStore> {
    let mut found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.pop() {
        return Err(error.into());
    }
    let mut roots = RootCertStore::empty();
    // Some authorities of a system may have a form that rustls does not read.
    roots.add_parsable_certificates(found.certs);
    Ok(roots)
}

/// The error does not repeat what was read.
#[allow(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn unreadable(_: pem::Error) -> RedisError {
    (ErrorKind::InvalidClientConfig, "a certificate or key is not in PEM format").into()
}
