//! The key of a request: what is limited.

use std::fmt;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderName, AUTHORIZATION};
use http::request::Parts;

use super::TrustedProxies;

/// A longer value is kept as its digest.
const MAX_VALUE_BYTES: usize = 64;

/// Finds the key of a request: a kind and a value, as in `ip:203.0.113.7`.
///
/// - All requests without a value have one key, `no-` and the kind, and share one limit.
/// - A value cannot imitate another kind, nor the rest of a composed key: `%`, `#`, `|` and every
///   byte that is not printable ASCII are written as `%` and two hexadecimal digits.
/// - A value of more than 64 bytes is kept as `#` and its SHA-1 in hexadecimal, and so is every
///   value of [`KeyExtractor::secret`]. Two values with the same digest would share a limit, no
///   more.
///
/// ```
/// use ratelimit_client::http::KeyExtractor;
///
/// let key = KeyExtractor::header(http::HeaderName::from_static("x-tenant"));
/// let with = |tenant| http::Request::builder().header("x-tenant", tenant).body(()).unwrap();
/// assert_eq!(key.of(&with("blue").into_parts().0), "x-tenant:blue");
/// assert_eq!(key.of(&with("a|ip:::1").into_parts().0), "x-tenant:a%7Cip:::1");
/// assert_eq!(key.of(&http::Request::new(()).into_parts().0), "no-x-tenant");
/// ```
#[derive(Clone)]
pub struct KeyExtractor(Arc<dyn Fn(&Parts) -> Key + Send + Sync>);

/// A key, and whether the request had a value for it.
struct Key {
    text: String,
    is_found: bool,
}

impl KeyExtractor {
    /// By the client's address: `ip:203.0.113.7`, `ip:2001:db8::/64`. `peer` returns the other end
    /// of the connection, which each HTTP server keeps in an extension of its own. Without it, all
    /// requests have the key `no-ip`.
    ///
    /// In axum: `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.ip())`;
    /// in tonic: `|parts| parts.extensions.get::<TcpConnectInfo>()?.remote_addr().map(|peer|
    /// peer.ip())`.
    pub fn address(
        proxies: TrustedProxies,
        peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self::by("ip", move |parts| {
            let client = proxies.client(peer(parts)?, &parts.headers);
            Some(proxies.network(client))
        })
    }

    /// By the first value of a header: `x-tenant:blue`. A client that may choose the value chooses
    /// its limit, so use a header that a proxy sets or that the service has verified.
    pub fn header(name: HeaderName) -> Self {
        let kind = name.to_string();
        Self::by(kind, move |parts| Some(parts.headers.get(&name)?.as_bytes().to_vec()))
    }

    /// By the token of `Authorization: Bearer`, kept as a digest: `bearer:#2fd4…`. A token that
    /// nobody has verified is the client's choice, as with [`KeyExtractor::header`].
    pub fn bearer() -> Self {
        Self::secret("bearer", |parts| {
            let value = parts.headers.get(AUTHORIZATION)?.as_bytes();
            let (scheme, token) = value.split_at_checked(7)?;
            let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            is_bearer.then(|| token.trim_ascii().to_vec()).filter(|token| !token.is_empty())
        })
    }

    /// By any function of the request: `kind:value`. An earlier layer may have put a verified user
    /// id into the extensions, for example. The kinds in one composed key should differ.
    pub fn by<V: AsRef<[u8]>>(
        kind: impl Into<String>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind.into(), value, |value| match readable(value) {
            text if text.len() <= MAX_VALUE_BYTES => text,
            _ => digest(value),
        })
    }

    /// [`KeyExtractor::by`] for a value that must not be readable in the server: an API key, a
    /// token, a cookie. It is kept as a digest.
    pub fn secret<V: AsRef<[u8]>>(
        kind: impl Into<String>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind.into(), value, digest)
    }

    /// One key for all requests: they share one limit.
    pub fn shared() -> Self {
        Self(Arc::new(|_| Key { text: "all".to_owned(), is_found: true }))
    }

    /// By both: `ip:203.0.113.7|x-tenant:blue`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Arc::new(move |parts| {
            let (first, second) = ((self.0)(parts), (other.0)(parts));
            let text = format!("{}|{}", first.text, second.text);
            Key { text, is_found: first.is_found && second.is_found }
        }))
    }

    /// By the first that has a value: the API key of a request, else its address.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Arc::new(move |parts| match (self.0)(parts) {
            key if key.is_found => key,
            _ => (other.0)(parts),
        }))
    }

    fn new<V: AsRef<[u8]>>(
        kind: String,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
        write: fn(&[u8]) -> String,
    ) -> Self {
        Self(Arc::new(move |parts| match value(parts) {
            Some(value) => {
                Key { text: format!("{kind}:{}", write(value.as_ref())), is_found: true }
            }
            None => Key { text: format!("no-{kind}"), is_found: false },
        }))
    }

    /// The key of this request. Without a value it is `no-` and the kind.
    pub fn of(&self, parts: &Parts) -> String {
        (self.0)(parts).text
    }

    /// The key of this request. `None` without a value: in a composed key, without any of its
    /// values.
    pub fn find(&self, parts: &Parts) -> Option<String> {
        let key = (self.0)(parts);
        key.is_found.then_some(key.text)
    }
}

impl fmt::Debug for KeyExtractor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("KeyExtractor").finish_non_exhaustive()
    }
}

/// Reads no more of a value than shows that it is too long.
fn readable(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len().min(MAX_VALUE_BYTES + 1));
    for &byte in value.iter().take(MAX_VALUE_BYTES + 1) {
        match byte {
            b'!'..=b'~' if !b"%#|".contains(&byte) => text.push(char::from(byte)),
            _ => write!(text, "%{byte:02X}").expect("a string has room"),
        }
    }
    text
}

fn digest(value: &[u8]) -> String {
    format!("#{}", sha1_smol::Sha1::from(value).digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request};

    fn key(key: &KeyExtractor, headers: &[(&str, &[u8])]) -> String {
        key.of(&parts(headers))
    }

    fn parts(headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        request.into_parts().0
    }

    const TENANT: HeaderName = HeaderName::from_static("x-tenant");

    #[test]
    fn a_header_is_its_kind_and_its_value() {
        let long = [b'a'; 65];
        let cases: &[(&[u8], &str)] = &[
            (b"blue", "x-tenant:blue"),
            (b"", "x-tenant:"),
            (b"a b", "x-tenant:a%20b"),
            (b"caf\xc3\xa9", "x-tenant:caf%C3%A9"),
            (b"%20#|", "x-tenant:%2520%23%7C"),
            (&long[..64], &format!("x-tenant:{}", "a".repeat(64))),
            (&long, "x-tenant:#11655326c708d70319be2610e8a57d9a5b959d3b"),
        ];
        for (value, expected) in cases {
            assert_eq!(key(&KeyExtractor::header(TENANT), &[("x-tenant", value)]), *expected);
        }
        assert_eq!(key(&KeyExtractor::header(TENANT), &[]), "no-x-tenant");
        let twice: [(&str, &[u8]); 2] = [("x-tenant", b"a"), ("x-tenant", b"b")];
        assert_eq!(key(&KeyExtractor::header(TENANT), &twice), "x-tenant:a");
    }

    #[test]
    fn a_bearer_token_is_not_readable() {
        let abc = "bearer:#a9993e364706816aba3e25717850c26c9cd0d89d";
        let cases: &[(&[u8], &str)] = &[
            (b"Bearer abc", abc),
            (b"bearer  abc ", abc),
            (b"Basic abc", "no-bearer"),
            (b"Bearer", "no-bearer"),
            (b"Bearer ", "no-bearer"),
            (b"Bearerabc", "no-bearer"),
            (b"", "no-bearer"),
        ];
        for (value, expected) in cases {
            assert_eq!(
                key(&KeyExtractor::bearer(), &[("authorization", value)]),
                *expected,
                "{value:?}"
            );
        }
        assert_eq!(key(&KeyExtractor::bearer(), &[]), "no-bearer");
    }

    #[test]
    fn an_address_is_the_clients_or_shared_by_all() {
        let behind = TrustedProxies::behind(["10.0.0.0/8".parse().unwrap()]);
        let known = KeyExtractor::address(behind.clone(), |_| Some([10, 0, 0, 1].into()));
        assert_eq!(key(&known, &[("x-forwarded-for", b"2001:db8::1")]), "ip:2001:db8::/64");
        assert_eq!(key(&known, &[]), "ip:10.0.0.1");
        let unknown = KeyExtractor::address(behind, |_| None);
        assert_eq!(key(&unknown, &[("x-forwarded-for", b"1.1.1.1")]), "no-ip");
    }

    #[test]
    fn a_composed_key_keeps_its_parts_apart() {
        let both = KeyExtractor::header(TENANT)
            .and(KeyExtractor::header(HeaderName::from_static("x-user")));
        let of = |tenant: &[u8], user: &[u8]| key(&both, &[("x-tenant", tenant), ("x-user", user)]);
        assert_eq!(of(b"a", b"b"), "x-tenant:a|x-user:b");
        assert_ne!(of(b"a|x-user:b", b"c"), of(b"a", b"b|x-user:c"));
        assert_eq!(key(&both, &[]), "no-x-tenant|no-x-user");
        assert_eq!(key(&KeyExtractor::shared(), &[]), "all");
    }

    #[test]
    fn a_missing_value_is_not_found() {
        let x_user = KeyExtractor::header(HeaderName::from_static("x-user"));
        let both = KeyExtractor::header(TENANT).and(x_user.clone());
        let either = KeyExtractor::header(TENANT).or(x_user);
        let tenant = ("x-tenant", &b"a"[..]);
        let user = ("x-user", &b"b"[..]);
        let cases: [(&[_], _, _); 4] = [
            (&[], None, None),
            (&[tenant], None, Some("x-tenant:a")),
            (&[user], None, Some("x-user:b")),
            (&[tenant, user], Some("x-tenant:a|x-user:b"), Some("x-tenant:a")),
        ];
        for (headers, both_found, either_found) in cases {
            let parts = parts(headers);
            assert_eq!(both.find(&parts).as_deref(), both_found);
            assert_eq!(either.find(&parts).as_deref(), either_found);
        }
        assert_eq!(either.of(&parts(&[])), "no-x-user");
        assert_eq!(KeyExtractor::shared().find(&parts(&[])).as_deref(), Some("all"));
    }
}
