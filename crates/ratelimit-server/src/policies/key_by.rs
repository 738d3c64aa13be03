//! Whose limit a request counts against.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::HeaderName;
use ratelimit_client::http::{Addresses, Key};

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
    pub(crate) const RULE: &str = "must be address, bearer, api-key or header:NAME";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "address" => Some(Self::Address),
            "bearer" => Some(Self::Bearer),
            "api-key" => Some(Self::ApiKey),
            _ => Some(Self::Header(text.strip_prefix("header:")?.parse().ok()?)),
        }
    }
}

/// Finds the key of that kind.
#[derive(Clone, Debug)]
pub(crate) enum Finder {
    Address,
    /// And the key of a request without a value.
    Value(Key, String),
}

impl Finder {
    pub(crate) fn new(by: &KeyBy) -> Self {
        let (key, kind) = match by {
            KeyBy::Address => return Self::Address,
            KeyBy::Bearer => (Key::bearer(), "bearer"),
            KeyBy::ApiKey => {
                let value = |parts: &Parts| Some(parts.headers.get(API_KEY)?.as_bytes().to_vec());
                (Key::secret("api-key", value), "api-key")
            }
            KeyBy::Header(name) => (Key::header(name.clone()), name.as_str()),
        };
        Self::Value(key, format!("no-{kind}"))
    }

    /// `None` where the request has no value of this kind.
    pub(crate) fn find(&self, from: &From) -> Option<String> {
        match self {
            Self::Address => Some(from.address_key()),
            Self::Value(key, missing) => Some(key.of(from.parts)).filter(|key| key != missing),
        }
    }
}

/// The other end of a connection, and its key, which is written once for all requests.
#[derive(Clone)]
pub(crate) struct Peer {
    address: IpAddr,
    key: Arc<str>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, addresses: &Addresses) -> Self {
        let address = address.to_canonical();
        Self { address, key: address_key(address, addresses).into() }
    }
}

/// A request, and the other end of its connection.
pub(crate) struct From<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) peer: &'a Peer,
    pub(crate) addresses: &'a Addresses,
}

impl From<'_> {
    pub(crate) fn address_key(&self) -> String {
        match self.addresses.client(self.peer.address, &self.parts.headers) {
            client if client == self.peer.address => self.peer.key.to_string(),
            client => address_key(client, self.addresses),
        }
    }
}

fn address_key(client: IpAddr, addresses: &Addresses) -> String {
    format!("ip:{}", addresses.network(client))
}
