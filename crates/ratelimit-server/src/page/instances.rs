//! The instances that simulated requests go to, over HTTP as from any other program.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// Longer than any check takes, and shorter than a person waits.
const DEADLINE: Duration = Duration::from_secs(2);
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The instances; cheap to clone.
#[derive(Clone)]
pub(crate) struct Instances {
    client: Client<HttpConnector, Full<Bytes>>,
    checks: Vec<Uri>,
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

impl Instances {
    /// By base URLs such as `http://127.0.0.1:3000`, which the settings have validated.
    pub(crate) fn new(bases: &[Uri]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, checks: bases.iter().map(check_address).collect() }
    }

    /// Sends a check to the instance whose turn it is. `None` without a decision in time.
    pub(crate) async fn check(&self, turn: u64, body: Bytes) -> Option<InstanceReply> {
        let instance = usize::try_from(turn).map_or(0, |turn| turn % self.checks.len());
        let request = Request::post(&self.checks[instance])
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("its parts are valid");
        tokio::time::timeout(DEADLINE, self.send(request)).await.ok()?
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Option<InstanceReply> {
        let response = self.client.request(request).await.ok()?;
        // A denial is 200 too.
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await.ok()?;
        serde_json::from_slice(&body.to_bytes()).ok()
    }
}

fn check_address(base: &Uri) -> Uri {
    let base = base.to_string();
    let address = format!("{}/v1/check", base.trim_end_matches('/'));
    address.parse().expect("a path behind a base address is an address")
}
