//! Secrets and certificates that settings name by file. No message repeats what a file holds.

use std::fs;

use ratelimit_client::redis::{ClientTlsConfig, TlsCertificates};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The value of a variable, or the first line of the file that its `_FILE` variable names. A line
/// end at the end of the file does not belong to it.
pub(crate) fn value_or_file(
    variable: &str,
    value: Option<String>,
    file: Option<String>,
) -> Result<Option<String>, String> {
    let Some(path) = file else { return Ok(value) };
    let wrong = |why: &str| format!("error: {variable}_FILE {path}: {why}");
    if value.is_some() {
        return Err(wrong(&format!("{variable} is set too")));
    }
    let text = fs::read_to_string(&path).map_err(|error| wrong(&error.to_string()))?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() || secret.contains('\n') {
        return Err(wrong("must hold one line"));
    }
    Ok(Some(secret.to_owned()))
}

/// The certificates of REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE. `None`: the authorities
/// of the system, and no certificate of this client.
pub(crate) fn certificates(
    ca: Option<&str>,
    certificate: Option<&str>,
    key: Option<&str>,
) -> Result<Option<TlsCertificates>, String> {
    let root_cert = ca.map(|path| pem("REDIS_CA_FILE", path, is_authority)).transpose()?;
    let client_tls = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(client(certificate, key)?),
        _ => return Err("error: REDIS_CERT_FILE and REDIS_KEY_FILE need each other".to_owned()),
    };
    let is_set = root_cert.is_some() || client_tls.is_some();
    Ok(is_set.then_some(TlsCertificates { client_tls, root_cert }))
}

fn client(certificate: &str, key: &str) -> Result<ClientTlsConfig, String> {
    let client_cert = pem("REDIS_CERT_FILE", certificate, |pem| !chain(pem).is_empty())?;
    let is_key = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).is_ok();
    let client_key = pem("REDIS_KEY_FILE", key, is_key)?;
    if !belongs(&client_cert, &client_key) {
        let why = "is not the key of REDIS_CERT_FILE, or of a kind that is not supported";
        return Err(format!("error: REDIS_KEY_FILE {key}: {why}"));
    }
    Ok(ClientTlsConfig { client_cert, client_key })
}

fn pem(variable: &str, path: &str, is_good: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, String> {
    let wrong = |why: &str| format!("error: {variable} {path}: {why}");
    let bytes = fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    let is_good = is_good(&bytes);
    is_good.then_some(bytes).ok_or_else(|| wrong("must hold what its name says, as PEM"))
}

/// Empty if one of them cannot be read.
fn chain(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default()
}

fn is_authority(pem: &[u8]) -> bool {
    let (mut roots, chain) = (RootCertStore::empty(), chain(pem));
    !chain.is_empty() && chain.into_iter().all(|certificate| roots.add(certificate).is_ok())
}

fn belongs(certificate: &[u8], key: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else { return false };
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    config.with_safe_default_protocol_versions().is_ok_and(|config| {
        let config = config.with_root_certificates(RootCertStore::empty());
        config.with_client_auth_cert(chain(certificate), key).is_ok()
    })
}
