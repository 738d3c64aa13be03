//! `process_*`: what the process takes, by the names that all clients of Prometheus use. On Linux.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::MetricType;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{getrlimit, Resource};

/// Reads `/proc` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(process) = Process::read() else { return Ok(()) };
        let help = "Processor time of the process in seconds";
        let kind = MetricType::Counter;
        let cpu = encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?;
        ConstCounter::new(process.cpu_s).encode(cpu)?;
        let gauges = [
            ("process_start_time_seconds", "When the process started, since 1970", process.start_s),
            ("process_resident_memory_bytes", "Memory of the process", process.resident_bytes),
            ("process_virtual_memory_bytes", "Address space of the process", process.virtual_bytes),
            ("process_threads", "Threads of the process", process.threads),
            ("process_open_fds", "Open files of the process", process.open_files),
            ("process_max_fds", "The limit of open files", process.max_files),
        ];
        for (name, help, value) in gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

struct Process {
    cpu_s: f64,
    start_s: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    open_files: f64,
    max_files: f64,
}

impl Process {
    /// `None` on a system without `/proc`.
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in parentheses, may hold spaces. Field 3 comes behind it.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<f64> =
            fields.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = clock_ticks_per_second() as f64;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted_s: f64 =
            system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        Some(Self {
            cpu_s: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_s: booted_s + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as f64,
            open_files: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            max_files: getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64),
        })
    }
}
