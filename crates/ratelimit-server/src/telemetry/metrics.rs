//! The metrics, for Prometheus.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use ratelimit_client::{Answer, Counts, Error, Failure, Limiter, Source};

use super::denied::Denied;
use super::process::ProcessCollector;
use super::requests::{RequestCollector, Requests};
use crate::units::signed;

type Labels = Vec<(&'static str, String)>;

/// All metrics of the service.
pub(crate) struct Metrics {
    registry: Registry,
    /// Without the prefix.
    process: Registry,
    pub(crate) requests: Arc<Requests>,
    reload: Arc<Reload>,
    decisions: Family<Labels, Counter>,
    sources: [Counter; SOURCES.len()],
    duration: Arc<Histogram>,
}

/// The counters of one policy, looked up once and not at each request.
#[derive(Clone, Debug)]
pub(crate) struct Decisions {
    allowed: Counter,
    denied: Counter,
    failed: Counter,
}

impl Decisions {
    /// Allowed, denied, failed.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.allowed, &self.denied, &self.failed].map(Counter::get)
    }

    /// A denial without a check: the key is blocked.
    pub(crate) fn count_denied(&self) {
        self.denied.inc();
    }
}

/// One source of each name; the failures do not matter.
const SOURCES: [Source; 6] = [
    Source::Module,
    Source::Script,
    Source::Memory,
    Source::KnownDenial,
    Source::Local(Failure::Deadline),
    Source::FailedOpen(Failure::Deadline),
];

impl Metrics {
    pub(crate) fn new(limiter: Limiter, denied: Arc<Denied>, is_up: Arc<AtomicBool>) -> Self {
        let mut registry = Registry::with_prefix("ratelimit");
        let decisions = Family::<Labels, Counter>::default();
        registry.register("decisions", "Decisions, by policy and outcome", decisions.clone());
        let sources = Family::<Labels, Counter>::default();
        registry.register("answers", "Decisions, by source", sources.clone());
        let source = |source: Source| {
            sources.get_or_create(&vec![("source", source.as_str().to_owned())]).clone()
        };
        let sources = SOURCES.map(source);
        let duration = Arc::new(Histogram::default());
        registry.register_collector(Box::new(Durations(Arc::clone(&duration))));
        registry.register_collector(Box::new(BackendCollector { limiter, denied, is_up }));
        let (requests, reload) = (Arc::<Requests>::default(), Arc::<Reload>::default());
        registry.register_collector(Box::new(RequestCollector(Arc::clone(&requests))));
        registry.register_collector(Box::new(ReloadCollector(Arc::clone(&reload))));
        registry.register("build_info", "The version of the service", build_info());
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector));
        Self { registry, process, requests, reload, decisions, sources, duration }
    }

    pub(crate) fn of_policy(&self, policy: &str) -> Decisions {
        let counter = |outcome: &str| {
            let labels = vec![("policy", policy.to_owned()), ("outcome", outcome.to_owned())];
            self.decisions.get_or_create(&labels).clone()
        };
        Decisions {
            allowed: counter("allowed"),
            denied: counter("denied"),
            failed: counter("failed"),
        }
    }

    pub(crate) fn count(
        &self,
        decisions: &Decisions,
        result: &Result<Answer, Error>,
        took: Duration,
    ) {
        self.duration.observe(took);
        match result {
            Ok(answer) => {
                let counter =
                    if answer.is_allowed() { &decisions.allowed } else { &decisions.denied };
                counter.inc();
                let name = answer.source.as_str();
                let source = SOURCES.iter().zip(&self.sources).find(|(s, _)| s.as_str() == name);
                if let Some((_, counter)) = source {
                    counter.inc();
                }
            }
            Err(_) => drop(decisions.failed.inc()),
        }
    }

    /// To be called when the policies were read, at the start too.
    pub(crate) fn note_reload(&self, is_ok: bool) {
        self.reload.is_ok.store(is_ok, Relaxed);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reload.at_s.store(since_1970.as_secs(), Relaxed);
    }

    /// In the format of OpenMetrics.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let written = text::encode_registry(&mut out, &self.registry)
            .and_then(|()| text::encode(&mut out, &self.process));
        written.expect("writing to a string does not fail");
        out
    }
}

fn build_info() -> Family<Labels, Gauge> {
    let family = Family::<Labels, Gauge>::default();
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    family.get_or_create(&labels).set(1);
    family
}

/// The last time that the policies were read.
#[derive(Debug, Default)]
struct Reload {
    is_ok: AtomicBool,
    /// Seconds since 1970.
    at_s: AtomicU64,
}

#[derive(Debug)]
struct ReloadCollector(Arc<Reload>);

impl Collector for ReloadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let is_ok = i64::from(self.0.is_ok.load(Relaxed));
        let at_s = signed(self.0.at_s.load(Relaxed));
        for (name, help, value) in [
            ("policies_last_reload_successful", "1 if the last reading was used", is_ok),
            ("policies_last_reload_timestamp_seconds", "When the policies were last read", at_s),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

/// Upper bounds in seconds: from an answer of the same machine to a lost one.
const BOUNDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// How long checks took. The library's own histogram takes a lock at each observation.
#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

#[derive(Debug)]
struct Durations(Arc<Histogram>);

impl Collector for Durations {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let counts = self.0.counts.each_ref().map(|count| count.load(Relaxed));
        let sum = self.0.sum_ns.load(Relaxed) as f64 / 1e9;
        let bounds = BOUNDS.into_iter().chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let (help, kind) = ("Time that checks took", MetricType::Histogram);
        let mut metric =
            encoder.encode_descriptor("check_duration", help, Some(&Unit::Seconds), kind)?;
        metric.encode_histogram::<Labels>(sum, counts.iter().sum(), &buckets, None)
    }
}

/// The counts of the limiter, the state of its backend, and the keys that are denied most.
struct BackendCollector {
    limiter: Limiter,
    denied: Arc<Denied>,
    is_up: Arc<AtomicBool>,
}

impl fmt::Debug for BackendCollector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("BackendCollector")
    }
}

impl Collector for BackendCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let counts = self.limiter.counts();
        let help = "1 if Redis (or memory, where that is the backend) can decide";
        let up = ConstGauge::new(i64::from(self.is_up.load(Relaxed)));
        up.encode(encoder.encode_descriptor("backend_up", help, None, MetricType::Gauge)?)?;
        let help = "Failures of Redis, by kind";
        let failures = encoder.encode_descriptor("failures", help, None, MetricType::Counter)?;
        family(failures, &failures_of(&counts))?;
        let help = "Decisions without Redis because it had failed, by what was done";
        let fallbacks = encoder.encode_descriptor("fallbacks", help, None, MetricType::Counter)?;
        family(fallbacks, &fallbacks_of(&counts))?;
        let help = "Denials answered from REMEMBER_DENIALS, without asking Redis";
        let known = ConstCounter::new(counts.known_denials);
        let kind = MetricType::Counter;
        known.encode(encoder.encode_descriptor("known_denials", help, None, kind)?)?;
        let help = "Denial log lines left out because of a flood";
        let left_out = ConstCounter::new(self.denied.left_out());
        left_out.encode(encoder.encode_descriptor("denial_logs_left_out", help, None, kind)?)?;
        let help = "The keys denied most, at most ten, by an estimate that is never too low";
        let mut top = encoder.encode_descriptor("denied_top", help, None, MetricType::Gauge)?;
        for (key, count) in self.denied.top() {
            let gauge = ConstGauge::new(signed(count));
            gauge.encode(top.encode_family(&vec![("key", escaped(&key))])?)?;
        }
        Ok(())
    }
}

/// The library does not escape label values, and a key may hold any character.
fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn failures_of(counts: &Counts) -> [(&'static str, &'static str, u64); 4] {
    [
        ("kind", Failure::Deadline.as_str(), counts.deadlines),
        ("kind", Failure::Connection.as_str(), counts.connection_failures),
        ("kind", Failure::Server.as_str(), counts.server_failures),
        ("kind", Failure::CircuitOpen.as_str(), counts.circuit_open),
    ]
}

fn fallbacks_of(counts: &Counts) -> [(&'static str, &'static str, u64); 3] {
    [
        ("mode", "local", counts.local),
        ("mode", "open", counts.failed_open),
        ("mode", "closed", counts.unavailable),
    ]
}

fn family(mut encoder: MetricEncoder, values: &[(&'static str, &'static str, u64)]) -> fmt::Result {
    for (label, name, value) in values {
        let labels = vec![(*label, *name)];
        ConstCounter::new(*value).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
