//! Requests by endpoint and status, and the connections that are open. The endpoints and statuses
//! are closed lists: no client can make a series.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::MetricType;

use crate::units::signed;

const ENDPOINTS: [&str; 11] = [
    "/",
    "/v1/check",
    "/v1/check/batch",
    "/v1/peek",
    "/v1/auth",
    "/metrics",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/dashboard",
    OTHER,
];
/// The most frequent first.
const STATUSES: [u16; 15] =
    [200, 429, 204, 403, 401, 503, 400, 404, 405, 408, 409, 413, 415, 500, 502];
const OTHER: &str = "other";

/// A place in the list of endpoints.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint(usize);

impl Endpoint {
    /// `/v1/auth` and `/dashboard` stand for all paths below them.
    pub(crate) fn of_path(path: &str) -> Self {
        Self(match path {
            "/" => 0,
            "/v1/check" => 1,
            "/v1/check/batch" => 2,
            "/v1/peek" => 3,
            "/metrics" => 5,
            "/healthz" => 6,
            "/readyz" => 7,
            "/openapi.json" => 8,
            _ if is_at_or_below(path, "/v1/auth") => 4,
            _ if is_at_or_below(path, "/dashboard") => 9,
            _ => 10,
        })
    }
}

fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

type Counts = [[AtomicU64; STATUSES.len() + 1]; ENDPOINTS.len()];

/// The counters.
#[derive(Debug)]
pub(crate) struct Requests {
    counts: Counts,
    open: AtomicU64,
}

impl Default for Requests {
    fn default() -> Self {
        let counts = array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0)));
        Self { counts, open: AtomicU64::new(0) }
    }
}

impl Requests {
    pub(crate) fn count(&self, endpoint: Endpoint, status: u16) {
        let place = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        self.counts[endpoint.0][place].fetch_add(1, Relaxed);
    }
}

/// A connection that is open until this is dropped.
pub(crate) struct OpenConnection(Arc<Requests>);

impl OpenConnection {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        requests.open.fetch_add(1, Relaxed);
        Self(requests)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Writes the counters.
#[derive(Debug)]
pub(super) struct RequestCollector(pub(super) Arc<Requests>);

impl Collector for RequestCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let open = ConstGauge::new(signed(self.0.open.load(Relaxed)));
        let help = "Open connections of clients";
        open.encode(encoder.encode_descriptor("connections", help, None, MetricType::Gauge)?)?;
        let help = "Answered requests, by endpoint and status";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (endpoint, counts) in ENDPOINTS.iter().zip(&self.0.counts) {
            let statuses = STATUSES.iter().map(u16::to_string).chain([OTHER.to_owned()]);
            for (status, count) in statuses.zip(counts) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = [("endpoint", (*endpoint).to_owned()), ("status", status)];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_place_in_the_list() {
        for (place, path) in ENDPOINTS.iter().enumerate() {
            assert_eq!(Endpoint::of_path(path).0, place, "{path}");
        }
        for (path, endpoint) in [
            ("/v1/auth/forwarded", "/v1/auth"),
            ("/v1/auth/envoy/a/b", "/v1/auth"),
            ("/v1/authx", OTHER),
            ("/dashboard/page.js", "/dashboard"),
            ("/v1/check/", OTHER),
            ("//", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(ENDPOINTS[Endpoint::of_path(path).0], endpoint, "{path}");
        }
    }
}
