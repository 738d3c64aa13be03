//! Whose limit a request counts against.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::HeaderName;
use ratelimit_client::http::{KeyExtractor, NoKey, TrustedProxies};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyBy {
    Address,
    Bearer,
    ApiKey,
    Header(HeaderName),
}

impl KeyBy {
    pub(crate) const MESSAGE: &str = "must be address, bearer, api-key or header:NAME";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "address" => Some(Self::Address),
            "bearer" => Some(Self::Bearer),
            "api-key" => Some(Self::ApiKey),
            _ => Some(Self::Header(text.strip_prefix("header:")?.parse().ok()?)),
        }
    }

    /// What stands before the colon of its keys; `None` for addresses.
    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Address => None,
            Self::Bearer => Some("bearer"),
            Self::ApiKey => Some("x-api-key"),
            Self::Header(name) => Some(name.as_str()),
        }
    }
}

/// Finds the value of its kind in a request.
#[derive(Clone, Debug)]
pub(crate) enum Finder {
    Address,
    Value(KeyExtractor),
}

/// The request has two lines of the header that holds its key. The server behind may take another
/// of them than the first, so the sender would choose the key that counts.
#[derive(Clone, Debug)]
pub(crate) struct TwoLines(pub(crate) HeaderName);

impl Finder {
    pub(crate) fn new(by: &KeyBy) -> Self {
        Self::Value(match by {
            KeyBy::Address => return Self::Address,
            KeyBy::Bearer => KeyExtractor::bearer(),
            KeyBy::ApiKey => KeyExtractor::secret_header(API_KEY),
            KeyBy::Header(name) => KeyExtractor::header(name.clone()),
        })
    }

    /// `Ok(None)` if the request has no value of this kind.
    pub(crate) fn find<'a>(&self, caller: &Caller<'a>) -> Result<Option<Cow<'a, str>>, TwoLines> {
        match self {
            Self::Address => Ok(Some(caller.address())),
            Self::Value(key) => match key.find(caller.parts) {
                Ok(key) => Ok(Some(Cow::Owned(key))),
                Err(NoKey::TwoLines { header }) => Err(TwoLines(header)),
                Err(_) => Ok(None),
            },
        }
    }
}

/// The other end of a connection, and its key, which is written once for all its requests.
#[derive(Clone)]
pub(crate) struct Peer {
    address: IpAddr,
    key: Arc<str>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, proxies: &TrustedProxies) -> Self {
        let address = address.to_canonical();
        Self { address, key: address_key(address, proxies).into() }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }
}

/// A request as policies see it: its method, its path, and the values that it may count against.
pub(crate) struct Caller<'a> {
    method: &'a str,
    path: &'a str,
    parts: &'a Parts,
    peer: &'a Peer,
    proxies: &'a TrustedProxies,
}

impl<'a> Caller<'a> {
    pub(crate) fn of_request(
        parts: &'a Parts,
        peer: &'a Peer,
        proxies: &'a TrustedProxies,
    ) -> Self {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        Self { method, path, parts, peer, proxies }
    }

    /// The same caller, for the method and the path that `/v1/auth` is asked about.
    pub(crate) fn asking_for<'b>(&self, method: &'b str, path: &'b str) -> Caller<'b>
    where
        'a: 'b,
    {
        Caller { method, path, ..*self }
    }

    pub(crate) fn method(&self) -> &'a str {
        self.method
    }

    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    pub(super) fn client(&self) -> IpAddr {
        self.proxies.client(self.peer.address, &self.parts.headers)
    }

    /// The key of the client's address: `ip:203.0.113.7`.
    pub(crate) fn address(&self) -> Cow<'a, str> {
        match self.client() {
            client if client == self.peer.address => Cow::Borrowed(&*self.peer.key),
            client => Cow::Owned(address_key(client, self.proxies)),
        }
    }
}

fn address_key(client: IpAddr, proxies: &TrustedProxies) -> String {
    format!("ip:{}", proxies.network(client))
}
