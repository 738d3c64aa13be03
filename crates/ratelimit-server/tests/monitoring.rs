//! The files of Prometheus and Grafana, tried with a real Prometheus on the metrics of a real service.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ratelimit_harness::eventually;
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::Exporter;
use crate::service::{agent, free_port, get, read, repository, server, Answer, Service, Settings};

const CONFIG: &str = "docker/prometheus/prometheus.yml";
const ALERTS: &str = "docker/prometheus/alerts.yml";
const DASHBOARD: &str = "docker/grafana/dashboards/ratelimit.json";
const MODULE_DASHBOARD: &str = "docker/grafana/dashboards/ratelimit-module.json";
const TARGETS: &str = r#"["ratelimit-1:3000", "ratelimit-2:3000", "ratelimit-3:3000"]"#;

/// Dropping the handle ends it.
struct Prometheus {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Prometheus {
    /// Starts it with the files as they ship, except for the target and an interval of one second.
    /// It watches the exporter under the name of the PodMonitor.
    #[track_caller]
    fn watching(service: &Service, exporter: &Exporter) -> Self {
        let dir = tempfile::Builder::new().prefix("prometheus-").tempdir().expect("a directory");
        let mut config = repository(CONFIG);
        let target = format!("[\"127.0.0.1:{}\"]", service.port());
        for (from, to) in [(TARGETS, &*target), ("_interval: 15s", "_interval: 1s")] {
            assert!(config.contains(from), "{CONFIG} lacks {from}");
            config = config.replace(from, to);
        }
        config += &format!(
            "\n  - job_name: ratelimit-redis\n    static_configs:\n      - targets: [\"127.0.0.1:{}\"]\n",
            exporter.port
        );
        fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
        fs::write(dir.path().join("alerts.yml"), repository(ALERTS)).expect("a file");
        let port = free_port();
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let process = program(&["prometheus"])
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let mut prometheus = Self { process, port, dir };
        prometheus.wait();
        prometheus
    }

    fn wait(&mut self) {
        eventually("prometheus is ready", || {
            let ended = self.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{}", read(&self.dir.path().join("log")));
            let url = format!("http://127.0.0.1:{}/-/ready", self.port);
            agent().get(url).call().is_ok_and(|answer| answer.status() == 200)
        });
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        get(&agent(), &format!("http://127.0.0.1:{}/api/v1/{path}", self.port), &[])
    }

    /// The current result of a query, which Prometheus must accept.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("query?query={encoded}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()["data"]["result"].as_array().expect("a list").clone()
    }

    /// The rules of the alerts, as Prometheus has loaded them.
    fn rules(&self) -> Vec<Value> {
        let groups = self.get("rules").json()["data"]["groups"].clone();
        let groups = groups.as_array().expect("a list");
        groups.iter().flat_map(|group| group["rules"].as_array().expect("a list").clone()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that has one of these names.
pub(crate) fn program(names: &[&str]) -> Command {
    let places = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
    let mut paths = names.iter().flat_map(|name| places.map(|place| Path::new(place).join(name)));
    let found = paths.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("{names:?} is missing: scripts/setup.sh prometheus installs it");
    });
    let mut command = Command::new(found);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Every text under `name`, at any depth.
fn texts(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(name).and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| texts(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| texts(value, name, found)),
        _ => {}
    }
}

/// Every text of a dashboard under `name`.
fn dashboard(path: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let json = serde_json::from_str(&repository(path)).expect("JSON");
    texts(&json, name, &mut found);
    found
}

/// The queries of a dashboard, with Grafana's variables replaced as Grafana does for all instances.
fn queries(path: &str) -> Vec<String> {
    let exprs = dashboard(path, "expr");
    assert!(exprs.len() > 8, "{exprs:?}");
    let fill = |expr: String| {
        let expr = expr.replace("$__rate_interval", "20s");
        expr.replace("$instance", ".+").replace("$redis", ".+")
    };
    exprs.into_iter().map(fill).collect()
}

/// The names of our metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ratelimit_")).map(str::to_owned).collect()
}

/// The names in the rules of one group of the alerts.
fn metrics_of_the_group(group: &str) -> BTreeSet<String> {
    let alerts = repository(ALERTS);
    let (_, rules) = alerts.split_once(&format!("- name: {group}\n")).expect("the group");
    metrics(rules.split("  - name: ").next().expect("its rules"))
}

/// The exporter of the metrics of a Redis.
fn exporter(server: &ratelimit_harness::Server) -> Exporter {
    let address = format!("redis://127.0.0.1:{}", server.port());
    let script = repository("docker/k8s/redis-exporter/ratelimit.lua");
    Exporter::start([("REDIS_ADDR".to_owned(), address)].into(), &script)
}

/// A service that has made decisions of each outcome.
fn used(server: &ratelimit_harness::Server) -> Service {
    let service = Settings::on(server).start();
    service.statuses(7);
    service.check(r#"{"key":"k","limit":2,"window":60}"#);
    service
}

#[test]
fn promtool_accepts_the_files_and_the_tests_of_the_alerts() {
    let dir = ratelimit_harness::repository().join("docker/prometheus");
    for words in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output =
            program(&["promtool"]).args(words).current_dir(&dir).output().expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {words:?}: {message}");
    }
    let tests = repository("docker/prometheus/alerts_test.yml");
    for alert in repository(ALERTS).lines().filter_map(|line| line.split_once("alert: ")) {
        let named = tests.matches(&format!("alertname: {}", alert.1)).count();
        assert_eq!(named, 2, "{} is tested as it fires and as it does not", alert.1);
    }
}

#[test]
fn dashboard_and_alerts_name_existing_metrics() {
    let server = server();
    let there = used(&server).get("/metrics").body;
    let series: BTreeSet<_> = there
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| metrics(line).into_iter().next())
        .collect();
    let named = metrics(&queries(DASHBOARD).join(" "));
    let known = metrics(&dashboard(DASHBOARD, "definition").join(" "));
    for name in named.union(&known).chain(&metrics_of_the_group("ratelimit")) {
        assert!(series.contains(name), "{name} is not in:\n{there}");
    }
    assert_eq!(series.difference(&named).collect::<Vec<_>>(), [""; 0], "not on the dashboard");
}

#[test]
fn the_panels_and_alerts_of_the_module_name_its_fields() {
    let server = server();
    let there = exporter(&server).metrics();
    let keys = there.lines().filter_map(|line| line.strip_prefix("redis_script_values{key=\""));
    let fields: BTreeSet<_> =
        keys.filter_map(|line| line.split('"').next()).map(str::to_owned).collect();
    assert_eq!(fields, metrics(&server.connect().must("INFO ratelimit").text()));
    let known = metrics(&queries(MODULE_DASHBOARD).join(" "));
    assert_eq!(known, fields, "each field has a panel");
    for field in ["errors", "replication_failures", "caught_panics"] {
        assert!(fields.contains(&format!("ratelimit_{field}")), "{field}");
        assert!(repository(ALERTS).contains(field), "{field} has an alert");
    }
}

#[test]
fn each_query_has_data_and_a_lost_server_raises_its_alert() {
    let mut server = server();
    let service = used(&server);
    let exporter = exporter(&server);
    let prometheus = Prometheus::watching(&service, &exporter);
    for query in queries(DASHBOARD).into_iter().chain(queries(MODULE_DASHBOARD)) {
        eventually(&query, || !prometheus.query(&query).is_empty());
    }
    for target in prometheus.get("targets").json()["data"]["activeTargets"].as_array().expect("2") {
        assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()));
    }
    eventually("the rules are judged", || {
        prometheus.rules().iter().all(|rule| rule["health"] == "ok")
    });
    let states = || {
        let rules = prometheus.rules().into_iter();
        rules.filter(|rule| rule["state"] != "inactive").map(|rule| rule["name"].to_string())
    };
    assert_eq!(states().collect::<Vec<_>>(), [""; 0], "nothing is wrong");
    server.kill();
    let down = "\"RateLimiterBackendDown\"";
    eventually("the alert is raised", || states().any(|name| name == down));
}

#[test]
fn the_source_of_the_dashboards_is_a_variable() {
    let source = repository("docker/grafana/provisioning/datasources/prometheus.yml");
    let (_, provided) = source.split_once("uid: ").expect("a uid");
    let provided = provided.lines().next().expect("a line");
    for path in [DASHBOARD, MODULE_DASHBOARD] {
        let json: Value = serde_json::from_str(&repository(path)).expect("JSON");
        let variable = &json["templating"]["list"][0];
        assert_eq!(
            (&variable["name"], &variable["type"]),
            (&"datasource".into(), &"datasource".into())
        );
        assert_eq!(
            (&variable["query"], &variable["current"]["value"]),
            (&"prometheus".into(), &provided.into())
        );
        let mut uids = dashboard(path, "uid");
        uids.retain(|uid| json["uid"] != **uid);
        assert!(uids.len() > 10 && uids.iter().all(|uid| uid == "${datasource}"), "{uids:?}");
    }
}
