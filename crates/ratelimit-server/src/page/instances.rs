//! The instances that simulated requests go to, over HTTP as from any other program.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde::Deserialize;

use super::now::Now;

/// Longer than any check takes, and shorter than a person waits.
const DEADLINE: Duration = Duration::from_secs(2);
/// Room for what an instance tells about a thousand policies.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The instances; cheap to clone.
#[derive(Clone)]
pub(crate) struct Instances {
    client: Client<HttpConnector, Full<Bytes>>,
    peers: Arc<[Peer]>,
}

struct Peer {
    /// Host and port.
    address: String,
    check: Uri,
    now: Uri,
}

/// The answer of an instance to a check.
#[derive(Debug, Deserialize)]
pub(crate) struct InstanceReply {
    pub(crate) allowed: bool,
    pub(crate) remaining: u64,
    /// −1: waiting does not help.
    pub(crate) retry_after_ms: i64,
    pub(crate) reset_after_ms: u64,
    pub(crate) source: String,
    pub(crate) instance: String,
}

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDecision {
    /// The instance gave no answer in time.
    Unreachable,
    /// The instance answered without a decision, because Redis or a proxy before the instance failed.
    Undecided,
}

impl NoDecision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Undecided => "undecided",
        }
    }
}

impl Instances {
    /// By base URLs such as `http://127.0.0.1:3000`, which the settings have validated.
    pub(crate) fn new(bases: &[Uri]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, peers: bases.iter().map(Peer::new).collect() }
    }

    /// The host and the port of each instance.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.peers.iter().map(|peer| peer.address.clone()).collect()
    }

    /// The number of the instance whose turn it is.
    pub(crate) fn at_turn(&self, turn: u64) -> usize {
        usize::try_from(turn).map_or(0, |turn| turn % self.peers.len())
    }

    /// Sends a check to the instance of this number.
    pub(crate) async fn check(
        &self,
        peer: usize,
        body: Bytes,
    ) -> Result<InstanceReply, NoDecision> {
        let request = Request::post(&self.peers[peer].check)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("its parts are valid");
        self.send(request).await
    }

    /// What each instance does now, by its address. `None` for one that does not answer.
    pub(crate) async fn now(&self) -> Vec<(String, Option<Now>)> {
        join_all(self.peers.iter().map(|peer| async {
            let request = Request::get(&peer.now).body(Full::default());
            let now = self.send(request.expect("its parts are valid")).await;
            (peer.address.clone(), now.ok())
        }))
        .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<T, NoDecision> {
        let answer = tokio::time::timeout(DEADLINE, self.receive(request)).await;
        // A denial is 200 too.
        match answer.ok().flatten().ok_or(NoDecision::Unreachable)? {
            (StatusCode::OK, body) => {
                serde_json::from_slice(&body).map_err(|_| NoDecision::Undecided)
            }
            _ => Err(NoDecision::Undecided),
        }
    }

    async fn receive(&self, request: Request<Full<Bytes>>) -> Option<(StatusCode, Bytes)> {
        let response = self.client.request(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await.ok()?;
        Some((status, body.to_bytes()))
    }
}

impl Peer {
    fn new(base: &Uri) -> Self {
        let host = base.host().unwrap_or_default();
        Self {
            address: base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            check: at(base, "/v1/check"),
            now: at(base, "/dashboard/now/instance"),
        }
    }
}

fn at(base: &Uri, path: &str) -> Uri {
    let base = base.to_string();
    let address = format!("{}{path}", base.trim_end_matches('/'));
    address.parse().expect("a path behind a base address is an address")
}
