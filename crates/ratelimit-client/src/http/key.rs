//! The key of a request: what is limited.

use std::fmt;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderName, AUTHORIZATION};
use http::request::Parts;
use http::HeaderValue;

use super::log::LogOnce;
use super::TrustedProxies;

/// A longer value is kept as its digest.
const MAX_VALUE_BYTES: usize = 64;

type Find = dyn Fn(&Parts) -> Result<String, NoKey> + Send + Sync;

/// Finds the key of a request: a kind and a value, as in `ip:203.0.113.7`.
///
/// - A request without a value has no key. A layer refuses it, unless [`KeyExtractor::or`] finds
///   another value, or [`KeyExtractor::or_shared`] puts all such requests under one limit.
/// - A header in two lines has two values, and the sender would choose which of them counts. Such a
///   request has no key either, not even with `or` or `or_shared`.
/// - A value cannot imitate another kind, nor the rest of a composed key: `%`, `#`, `|` and every
///   byte that is not printable ASCII are written as `%` and two hexadecimal digits.
/// - A value of more than 64 bytes is kept as `#` and its SHA-1 in hexadecimal, and so is every
///   secret value. Two values with the same digest would share a limit, no more.
///
/// ```
/// use ratelimit_client::http::{KeyExtractor, NoKey};
///
/// let key = KeyExtractor::header("x-tenant");
/// let with = |tenant| http::Request::builder().header("x-tenant", tenant).body(()).unwrap();
/// assert_eq!(key.find(&with("blue").into_parts().0).unwrap(), "x-tenant:blue");
/// assert_eq!(key.find(&with("a|ip:::1").into_parts().0).unwrap(), "x-tenant:a%7Cip:::1");
///
/// let without = http::Request::new(()).into_parts().0;
/// assert_eq!(key.find(&without), Err(NoKey::Missing { kind: "x-tenant".into() }));
/// assert_eq!(key.or_shared().find(&without).unwrap(), "no-x-tenant");
/// ```
#[derive(Clone)]
pub struct KeyExtractor(Arc<Find>);

/// Why a request has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKey {
    /// The request has no value of this kind, or an empty header. This is the client's mistake.
    Missing {
        /// The kind of the key: the name of a header, `bearer`, or the kind of a closure.
        kind: Arc<str>,
    },
    /// The request has this header in two lines or more. This is the client's mistake.
    TwoLines {
        /// The name of the header.
        header: HeaderName,
    },
    /// The HTTP server has put no address of the connection into the request. This is the program's
    /// mistake: in axum, it serves without `into_make_service_with_connect_info`.
    NoPeer,
}

impl NoKey {
    /// The key that [`KeyExtractor::or_shared`] gives to all such requests.
    fn shared_key(&self) -> Option<String> {
        match self {
            Self::Missing { kind } => Some(format!("no-{kind}")),
            Self::NoPeer => Some("no-ip".to_owned()),
            Self::TwoLines { .. } => None,
        }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing { kind } => write!(f, "the request has no {kind}"),
            Self::TwoLines { header } => write!(f, "the request has more than one {header}"),
            Self::NoPeer => f.write_str("the HTTP server gave no address of the connection"),
        }
    }
}

impl std::error::Error for NoKey {}

impl KeyExtractor {
    /// By the client's address: `ip:203.0.113.7`, `ip:2001:db8::/64`. `peer` returns the other end
    /// of the connection, which each HTTP server keeps in an extension of its own. Without it, a
    /// request has no key ([`NoKey::NoPeer`]), and a layer answers 500.
    ///
    /// In axum: `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.ip())`;
    /// in tonic: `|parts| parts.extensions.get::<TcpConnectInfo>()?.remote_addr().map(|peer|
    /// peer.ip())`.
    pub fn address(
        proxies: TrustedProxies,
        peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |parts| {
            let peer = peer(parts).ok_or(NoKey::NoPeer)?;
            let client = proxies.client(peer, &parts.headers);
            Ok(format!("ip:{}", proxies.network(client)))
        }))
    }

    /// By a header: `x-tenant:blue`. A client that may choose the value chooses its limit, so use a
    /// header that a proxy sets or that the service has verified. An empty header is a missing one.
    ///
    /// # Panics
    /// If no header can have this name.
    pub fn header<N: TryInto<HeaderName, Error: fmt::Debug>>(name: N) -> Self {
        Self::by_line(name, readable_or_digest)
    }

    /// [`KeyExtractor::header`] for a value that must not be readable in the server, such as an API
    /// key. It is kept as a digest: `x-api-key:#2fd4…`.
    ///
    /// ```
    /// let key = ratelimit_client::http::KeyExtractor::secret_header("x-api-key");
    /// ```
    ///
    /// # Panics
    /// If no header can have this name.
    pub fn secret_header<N: TryInto<HeaderName, Error: fmt::Debug>>(name: N) -> Self {
        Self::by_line(name, digest)
    }

    /// By the token of `Authorization: Bearer`, kept as a digest: `bearer:#2fd4…`. A token that
    /// nobody has verified is the client's choice, as with [`KeyExtractor::header`].
    pub fn bearer() -> Self {
        let kind = "bearer".into();
        Self(Arc::new(move |parts| {
            let line = only_line(parts, &AUTHORIZATION)?;
            write_key(&kind, line.and_then(|line| bearer_token(line.as_bytes())), digest)
        }))
    }

    /// By a part of the request that a closure returns: `kind:value`. An earlier layer may have put
    /// a verified user into the extensions, for example. For a value that the closure makes, see
    /// [`KeyExtractor::by_owned`]. The kinds in one composed key should differ.
    ///
    /// ```
    /// # use ratelimit_client::http::KeyExtractor;
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let by_user = KeyExtractor::by("user", |parts| Some(&parts.extensions.get::<User>()?.0));
    /// let by_host = KeyExtractor::by("host", |parts| parts.uri.host());
    /// ```
    pub fn by<V: AsRef<[u8]> + ?Sized>(
        kind: impl Into<Arc<str>>,
        value: impl for<'a> Fn(&'a Parts) -> Option<&'a V> + Send + Sync + 'static,
    ) -> Self {
        let kind = kind.into();
        Self(Arc::new(move |parts| {
            write_key(&kind, value(parts).map(AsRef::as_ref), readable_or_digest)
        }))
    }

    /// [`KeyExtractor::by`] for a value that the closure makes.
    ///
    /// ```
    /// # use ratelimit_client::http::KeyExtractor;
    /// #[derive(Clone)]
    /// struct UserId(u64);
    ///
    /// let by_user = KeyExtractor::by_owned("user", |parts| {
    ///     Some(parts.extensions.get::<UserId>()?.0.to_string())
    /// });
    /// ```
    pub fn by_owned<V: AsRef<[u8]>>(
        kind: impl Into<Arc<str>>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        let kind = kind.into();
        Self(Arc::new(move |parts| {
            write_key(&kind, value(parts).as_ref().map(AsRef::as_ref), readable_or_digest)
        }))
    }

    /// [`KeyExtractor::by`] for a value that must not be readable in the server: a token, a cookie.
    /// It is kept as a digest. For the value of a header, [`KeyExtractor::secret_header`] is
    /// shorter, and it refuses a header in two lines, of which `headers.get` returns the first.
    ///
    /// ```
    /// # use ratelimit_client::http::KeyExtractor;
    /// let key = KeyExtractor::secret("api-key", |parts| parts.headers.get("x-api-key"));
    /// ```
    pub fn secret<V: AsRef<[u8]> + ?Sized>(
        kind: impl Into<Arc<str>>,
        value: impl for<'a> Fn(&'a Parts) -> Option<&'a V> + Send + Sync + 'static,
    ) -> Self {
        let kind = kind.into();
        Self(Arc::new(move |parts| write_key(&kind, value(parts).map(AsRef::as_ref), digest)))
    }

    /// [`KeyExtractor::secret`] for a value that the closure makes.
    pub fn secret_owned<V: AsRef<[u8]>>(
        kind: impl Into<Arc<str>>,
        value: impl Fn(&Parts) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        let kind = kind.into();
        Self(Arc::new(move |parts| {
            write_key(&kind, value(parts).as_ref().map(AsRef::as_ref), digest)
        }))
    }

    /// One key for all requests: they share one limit.
    pub fn shared() -> Self {
        Self(Arc::new(|_| Ok("all".to_owned())))
    }

    /// By both: `ip:203.0.113.7|x-tenant:blue`. A request without one of them has no key.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Arc::new(move |parts| Ok(format!("{}|{}", self.find(parts)?, other.find(parts)?))))
    }

    /// By the first that has a value: the API key of a request, else its address. A header in two
    /// lines is no missing value: such a request has no key.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Arc::new(move |parts| match self.find(parts) {
            Err(NoKey::Missing { .. } | NoKey::NoPeer) => other.find(parts),
            result => result,
        }))
    }

    /// All requests without a value share one limit, under the key `no-` and the kind:
    /// `no-x-tenant`, or `no-ip` without an address. One client can use up the limit of all others,
    /// so choose it only where that is meant. With the feature `tracing` the first such request is
    /// a warning in the log.
    #[must_use]
    pub fn or_shared(self) -> Self {
        let log = LogOnce::default();
        Self(Arc::new(move |parts| {
            let no_key = match self.find(parts) {
                Err(no_key) => no_key,
                found => return found,
            };
            let Some(key) = no_key.shared_key() else { return Err(no_key) };
            log.warn("requests share one rate limit", &key, &no_key);
            Ok(key)
        }))
    }

    /// The key of this request.
    ///
    /// # Errors
    /// If the request has no value, or more than one.
    pub fn find(&self, parts: &Parts) -> Result<String, NoKey> {
        (self.0)(parts)
    }

    fn by_line<N: TryInto<HeaderName, Error: fmt::Debug>>(
        name: N,
        write: fn(&[u8]) -> String,
    ) -> Self {
        let name = name.try_into().expect("a name that a header can have");
        let kind = name.as_str().into();
        Self(Arc::new(move |parts| {
            let line = only_line(parts, &name)?.map(HeaderValue::as_bytes);
            write_key(&kind, line.filter(|line| !line.is_empty()), write)
        }))
    }
}

impl fmt::Debug for KeyExtractor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("KeyExtractor").finish_non_exhaustive()
    }
}

fn only_line<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a HeaderValue>, NoKey> {
    let mut lines = parts.headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        _ => Err(NoKey::TwoLines { header: name.clone() }),
    }
}

fn bearer_token(line: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = line.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii()).filter(|token| !token.is_empty())
}

fn write_key(
    kind: &Arc<str>,
    value: Option<&[u8]>,
    write: fn(&[u8]) -> String,
) -> Result<String, NoKey> {
    let value = value.ok_or_else(|| NoKey::Missing { kind: Arc::clone(kind) })?;
    Ok(format!("{kind}:{}", write(value)))
}

fn readable_or_digest(value: &[u8]) -> String {
    match readable(value) {
        text if text.len() <= MAX_VALUE_BYTES => text,
        _ => digest(value),
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
    use http::Request;

    type Headers<'a> = &'a [(&'a str, &'a [u8])];

    fn parts(headers: Headers) -> Parts {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        request.into_parts().0
    }

    /// The key, or the reason why there is none.
    fn key(key: &KeyExtractor, headers: Headers) -> String {
        key.find(&parts(headers)).unwrap_or_else(|no_key| no_key.to_string())
    }

    #[test]
    fn a_header_is_its_kind_and_its_value() {
        let long = [b'a'; 65];
        let cases: &[(&[u8], &str)] = &[
            (b"blue", "x-tenant:blue"),
            (b"", "the request has no x-tenant"),
            (b"a b", "x-tenant:a%20b"),
            (b"caf\xc3\xa9", "x-tenant:caf%C3%A9"),
            (b"%20#|", "x-tenant:%2520%23%7C"),
            (&long[..64], &format!("x-tenant:{}", "a".repeat(64))),
            (&long, "x-tenant:#11655326c708d70319be2610e8a57d9a5b959d3b"),
        ];
        for (value, expected) in cases {
            assert_eq!(key(&KeyExtractor::header("X-Tenant"), &[("x-tenant", value)]), *expected);
        }
        assert_eq!(key(&KeyExtractor::header("x-tenant"), &[]), "the request has no x-tenant");
    }

    #[test]
    fn two_lines_of_a_header_are_never_one() {
        let tenant = KeyExtractor::header("x-tenant");
        let all = KeyExtractor::shared();
        let alternatives = [tenant.clone().or(all.clone()), tenant.clone().or_shared()];
        for lines in [[b"a", b"b"], [b"a", b"a"]].map(|lines| lines.map(|line| &line[..])) {
            let [first, second] = lines;
            let twice: [(&str, &[u8]); 2] = [("x-tenant", first), ("x-tenant", second)];
            for key in [&tenant, &tenant.clone().and(all.clone())].into_iter().chain(&alternatives)
            {
                let header = HeaderName::from_static("x-tenant");
                assert_eq!(key.find(&parts(&twice)), Err(NoKey::TwoLines { header }));
            }
        }
        let tokens: [(&str, &[u8]); 2] =
            [("authorization", b"Bearer a"), ("authorization", b"Basic b")];
        let expected = "the request has more than one authorization";
        assert_eq!(key(&KeyExtractor::bearer(), &tokens), expected);
        let keys: [(&str, &[u8]); 2] = [("x-api-key", b"a"), ("X-API-Key", b"")];
        let expected = "the request has more than one x-api-key";
        assert_eq!(key(&KeyExtractor::secret_header("x-api-key"), &keys), expected);
    }

    #[test]
    fn a_secret_is_not_readable() {
        let digest_of_abc = "#a9993e364706816aba3e25717850c26c9cd0d89d";
        let get = |name: &'static str| move |parts: &Parts| parts.headers.get(name).cloned();
        let keys = [
            KeyExtractor::secret_header("x-key"),
            KeyExtractor::secret("x-key", |parts| parts.headers.get("x-key")),
            KeyExtractor::secret_owned("x-key", get("x-key")),
        ];
        for extractor in keys {
            let headers: [(&str, &[u8]); 1] = [("x-key", b"abc")];
            assert_eq!(key(&extractor, &headers), format!("x-key:{digest_of_abc}"));
            assert_eq!(key(&extractor, &[]), "the request has no x-key");
        }
    }

    #[test]
    fn a_closure_returns_a_part_of_the_request_or_a_value_of_its_own() {
        let text = |headers: &http::HeaderMap| headers.len().to_string();
        let keys = [
            KeyExtractor::by("x", |parts| parts.headers.get("x")),
            KeyExtractor::by("x", |parts| parts.headers.get("x")?.to_str().ok()),
            KeyExtractor::by("x", |parts| Some(parts.headers.get("x")?.as_bytes())),
            KeyExtractor::by_owned("x", move |parts| Some(text(&parts.headers))),
        ];
        for extractor in keys {
            assert_eq!(key(&extractor, &[("x", b"1")]), "x:1");
        }
    }

    #[test]
    #[should_panic(expected = "a name that a header can have")]
    fn a_name_that_no_header_can_have_is_found_at_the_start() {
        let _ = KeyExtractor::secret_header("x api key");
    }

    #[test]
    fn a_bearer_token_is_not_readable() {
        let abc = "bearer:#a9993e364706816aba3e25717850c26c9cd0d89d";
        let none = "the request has no bearer";
        let cases: &[(&[u8], &str)] = &[
            (b"Bearer abc", abc),
            (b"bearer  abc ", abc),
            (b"Basic abc", none),
            (b"Bearer", none),
            (b"Bearer ", none),
            (b"Bearerabc", none),
            (b"", none),
        ];
        for (value, expected) in cases {
            let headers = [("authorization", *value)];
            assert_eq!(key(&KeyExtractor::bearer(), &headers), *expected, "{value:?}");
        }
        assert_eq!(key(&KeyExtractor::bearer(), &[]), none);
    }

    #[test]
    fn an_address_is_the_clients_or_an_error() {
        let behind = TrustedProxies::behind(["10.0.0.0/8".parse().unwrap()]);
        let known = KeyExtractor::address(behind.clone(), |_| Some([10, 0, 0, 1].into()));
        assert_eq!(key(&known, &[("x-forwarded-for", b"2001:db8::1")]), "ip:2001:db8::/64");
        assert_eq!(key(&known, &[]), "ip:10.0.0.1");
        let unknown = KeyExtractor::address(behind, |_| None);
        let forwarded = parts(&[("x-forwarded-for", b"1.1.1.1")]);
        assert_eq!(unknown.find(&forwarded), Err(NoKey::NoPeer));
        assert_eq!(unknown.or_shared().find(&forwarded).unwrap(), "no-ip");
    }

    #[test]
    fn a_composed_key_keeps_its_parts_apart() {
        let (tenant, user) = (KeyExtractor::header("x-tenant"), KeyExtractor::header("x-user"));
        let both = tenant.clone().or_shared().and(user.clone().or_shared());
        let of = |tenant: &[u8], user: &[u8]| key(&both, &[("x-tenant", tenant), ("x-user", user)]);
        assert_eq!(of(b"a", b"b"), "x-tenant:a|x-user:b");
        assert_ne!(of(b"a|x-user:b", b"c"), of(b"a", b"b|x-user:c"));
        assert_eq!(key(&both, &[]), "no-x-tenant|no-x-user");
        assert_eq!(key(&tenant.and(user).or_shared(), &[]), "no-x-tenant");
        assert_eq!(key(&KeyExtractor::shared(), &[]), "all");
    }

    #[test]
    fn a_missing_value_is_not_found() {
        let (x_tenant, x_user) = (KeyExtractor::header("x-tenant"), KeyExtractor::header("x-user"));
        let both = x_tenant.clone().and(x_user.clone());
        let either = x_tenant.or(x_user);
        let tenant = ("x-tenant", &b"a"[..]);
        let user = ("x-user", &b"b"[..]);
        let (no_tenant, no_user) = ("the request has no x-tenant", "the request has no x-user");
        let cases: [(&[_], _, _); 4] = [
            (&[], no_tenant, no_user),
            (&[tenant], no_user, "x-tenant:a"),
            (&[user], no_tenant, "x-user:b"),
            (&[tenant, user], "x-tenant:a|x-user:b", "x-tenant:a"),
        ];
        for (headers, both_expected, either_expected) in cases {
            assert_eq!(key(&both, headers), both_expected);
            assert_eq!(key(&either, headers), either_expected);
        }
    }
}
