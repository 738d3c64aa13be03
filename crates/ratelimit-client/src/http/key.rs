//! Whose limit a request counts against.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderName, AUTHORIZATION};
use http::request::Parts;

use super::TrustedProxies;

/// A value that takes more bytes than this is kept as its digest.
const MOST_BYTES: usize = 64;

/// Finds the key of a request: its kind, then its value, as in `ip:203.0.113.7`.
///
/// - A request without a value has the key `no-` and the kind: all of them share one limit.
/// - A value cannot pass for another kind's or, in a composed key, for a neighbour: what is not
///   printable ASCII, and `%`, `#` and `|`, is written as `%` and two hexadecimal digits.
/// - A value of more than 64 bytes is kept as `#` and its SHA-1 in hexadecimal, as is any value of
///   [`KeyExtractor::secret`]. Who finds two values with one digest makes them share a limit, no more.
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
pub struct KeyExtractor(Arc<dyn Fn(&Parts) -> String + Send + Sync>);

impl KeyExtractor {
    /// By the client's address: `ip:203.0.113.7`, `ip:2001:db8::/64`. `peer` finds the other end of the
    /// connection, which each HTTP server keeps in an extension of its own; without it the key is
    /// `no-ip`, for all.
    ///
    /// In axum: `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.ip())`; in
    /// tonic: `|parts| parts.extensions.get::<TcpConnectInfo>()?.remote_addr().map(|peer| peer.ip())`.
    pub fn address(
        addresses: TrustedProxies,
        peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self::by("ip", move |parts| {
            let client = addresses.client(peer(parts)?, &parts.headers);
            Some(addresses.network(client))
        })
    }

    /// By the (first) value of a header: `x-tenant:blue`. Whoever may choose the value chooses the
    /// limit: use a header that a proxy sets or that the service has verified.
    pub fn header(name: HeaderName) -> Self {
        let kind = name.to_string();
        Self::by(kind, move |parts| Some(parts.headers.get(&name)?.as_bytes().to_vec()))
    }

    /// By the token of `Authorization: Bearer`, which is kept as a digest: `bearer:#2fd4…`. A token that
    /// nobody has verified is the caller's choice, as with [`KeyExtractor::header`].
    pub fn bearer() -> Self {
        Self::secret("bearer", |parts| {
            let value = parts.headers.get(AUTHORIZATION)?.as_bytes();
            let (scheme, token) = value.split_at_checked(7)?;
            let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            is_bearer.then(|| token.trim_ascii().to_vec()).filter(|token| !token.is_empty())
        })
    }

    /// By any function of the request: `kind:value`. A user id that an earlier layer has verified is
    /// found in the extensions. Kinds in one composed key should differ.
    pub fn by<V: AsRef<[u8]>>(
        kind: impl Into<String>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind.into(), value, |value| match readable(value) {
            text if text.len() <= MOST_BYTES => text,
            _ => digest(value),
        })
    }

    /// [`KeyExtractor::by`] of something that is not to be read in the server: an API key, a token, a cookie.
    pub fn secret<V: AsRef<[u8]>>(
        kind: impl Into<String>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind.into(), value, digest)
    }

    /// Everybody's: one limit for all requests.
    pub fn shared() -> Self {
        Self(Arc::new(|_| "all".to_owned()))
    }

    /// By both: `ip:203.0.113.7|x-tenant:blue`.
    pub fn and(self, other: Self) -> Self {
        Self(Arc::new(move |parts| format!("{}|{}", self.of(parts), other.of(parts))))
    }

    fn new<V: AsRef<[u8]>>(
        kind: String,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
        write: fn(&[u8]) -> String,
    ) -> Self {
        Self(Arc::new(move |parts| match value(parts) {
            Some(value) => format!("{kind}:{}", write(value.as_ref())),
            None => format!("no-{kind}"),
        }))
    }

    /// The key of this request.
    pub fn of(&self, parts: &Parts) -> String {
        (self.0)(parts)
    }
}

impl fmt::Debug for KeyExtractor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("KeyExtractor").finish_non_exhaustive()
    }
}

fn readable(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value.iter().take(MOST_BYTES + 1) {
        match byte {
            b'%' | b'#' | b'|' => text.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
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
    use ratelimit_harness::Random;

    fn key(key: &KeyExtractor, headers: &[(&str, &[u8])]) -> String {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        key.of(&request.into_parts().0)
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
    fn an_address_is_that_of_the_client_or_of_all() {
        let behind = TrustedProxies::behind(["10.0.0.0/8".parse().unwrap()]);
        let known = KeyExtractor::address(behind.clone(), |_| Some([10, 0, 0, 1].into()));
        assert_eq!(key(&known, &[("x-forwarded-for", b"2001:db8::1")]), "ip:2001:db8::/64");
        assert_eq!(key(&known, &[]), "ip:10.0.0.1");
        let unknown = KeyExtractor::address(behind, |_| None);
        assert_eq!(key(&unknown, &[("x-forwarded-for", b"1.1.1.1")]), "no-ip");
    }

    #[test]
    fn a_composed_key_tells_its_parts_apart() {
        let both = KeyExtractor::header(TENANT)
            .and(KeyExtractor::header(HeaderName::from_static("x-user")));
        let of = |tenant: &[u8], user: &[u8]| key(&both, &[("x-tenant", tenant), ("x-user", user)]);
        assert_eq!(of(b"a", b"b"), "x-tenant:a|x-user:b");
        assert_ne!(of(b"a|x-user:b", b"c"), of(b"a", b"b|x-user:c"));
        assert_eq!(key(&both, &[]), "no-x-tenant|no-x-user");
        assert_eq!(key(&KeyExtractor::shared(), &[]), "all");
    }

    #[test]
    fn any_bytes_make_a_short_printable_key_of_their_own() {
        let mut random = Random(2);
        let mut seen = std::collections::HashMap::new();
        for _ in 0..20_000 {
            let length = random.pick(&[0, 1, 2, 63, 64, 65, 1000]);
            let value: Vec<u8> = (0..length).map(|_| random.pick(b"a%#|\0\xff")).collect();
            let bytes = value.clone();
            let key = key(&KeyExtractor::by("v", move |_| Some(bytes.clone())), &[]);
            assert!(key.len() <= 2 + MOST_BYTES && key.bytes().all(|b| b.is_ascii_graphic()));
            assert_eq!(*seen.entry(key).or_insert_with(|| value.clone()), value);
        }
    }
}
