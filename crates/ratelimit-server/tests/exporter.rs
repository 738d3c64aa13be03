//! A real redis_exporter, with the environment and the script of docker/k8s/redis-exporter.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};

use ratelimit_harness::eventually;
use tempfile::TempDir;

use crate::monitoring::program;
use crate::service::{agent, free_port, get};

/// Dropping the handle ends it.
pub struct Exporter {
    process: Child,
    pub port: u16,
    _dir: TempDir,
}

impl Exporter {
    /// Starts it with the variables of its container, except for its own address and the path of
    /// the script.
    #[track_caller]
    pub fn start(mut variables: BTreeMap<String, String>, script: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("exporter-").tempdir().expect("a directory");
        let path = dir.path().join("ratelimit.lua");
        fs::write(&path, script).expect("a file");
        let port = free_port();
        let path = path.to_str().expect("UTF-8").to_owned();
        variables.insert("REDIS_EXPORTER_SCRIPT".to_owned(), path);
        let address = format!("127.0.0.1:{port}");
        variables.insert("REDIS_EXPORTER_WEB_LISTEN_ADDRESS".to_owned(), address);
        let process = program(&["prometheus-redis-exporter", "redis_exporter"])
            .env_clear()
            .envs(variables)
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter starts");
        let exporter = Self { process, port, _dir: dir };
        let health = format!("http://127.0.0.1:{port}/health");
        eventually("the exporter answers", || agent().get(&health).call().is_ok());
        exporter
    }

    pub fn metrics(&self) -> String {
        get(&agent(), &format!("http://127.0.0.1:{}/metrics", self.port), &[]).body
    }

    /// The current value of a series.
    pub fn value(&self, series: &str) -> Option<f64> {
        let metrics = self.metrics();
        let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(name, _)| *name == series)?.1.parse().ok()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
