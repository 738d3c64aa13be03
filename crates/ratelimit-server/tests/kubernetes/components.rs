//! The components of docker/k8s, each with every overlay that can take it.

use ratelimit_harness::{Connection, Server};
use serde_json::{json, Value};

use super::manifests::{overlays, overlays_with, text, Overlay};
use super::start;
use crate::exporter::Exporter;
use crate::service::{repository, server, Settings};

/// An address that nobody has.
const UNSET: &str = "192.0.2.1";

fn names(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|item| text(&item["name"])).collect()
}

fn with_password() -> Server {
    let server = server();
    server.connect().must("CONFIG SET requirepass p");
    server
}

fn connect(server: &Server) -> Connection {
    let mut connection = server.connect();
    connection.must("AUTH p");
    connection
}

/// What remains for each of two clients that a caller at 127.0.0.1 names.
fn remaining(overlay: &Overlay, trusted: &str, server: &Server) -> [u64; 2] {
    connect(server).must("FLUSHALL");
    let mut variables = overlay.server().environment();
    variables.insert("TRUSTED_PROXIES".to_owned(), trusted.to_owned());
    variables.insert("REDIS_URL".to_owned(), "redis://:p@here".to_owned());
    let service = start(variables, &format!("127.0.0.1:{}", server.port()));
    ["203.0.113.1", "203.0.113.2"].map(|client| {
        let answer = service.get_with("/", &[("x-forwarded-for", client)]);
        let (_, rest) = answer.field("ratelimit").split_once(";r=").expect("what remains");
        rest.split(';').next().and_then(|number| number.parse().ok()).expect("a number")
    })
}

#[test]
fn without_a_component_no_caller_may_name_a_client() {
    let server = with_password();
    for overlay in overlays() {
        let trusted = &overlay.server().environment()["TRUSTED_PROXIES"];
        assert_eq!(trusted, "", "{}", overlay.name);
        assert_eq!(remaining(&overlay, trusted, &server), [99, 98], "the caller's address counts");
    }
}

#[test]
fn behind_a_proxy_only_the_proxy_may_call_and_name_clients() {
    let server = with_password();
    for overlay in overlays_with("ingress").into_iter().chain(overlays_with("gateway")) {
        assert_eq!(overlay.server().environment()["TRUSTED_PROXIES"], UNSET, "{}", overlay.name);
        assert_eq!(remaining(&overlay, "127.0.0.1", &server), [99, 99], "the client counts");

        let policy = &overlay.find("NetworkPolicy", "ratelimit-server")["spec"];
        assert_eq!(policy["podSelector"]["matchLabels"], *overlay.server().labels);
        let [rule] = &policy["ingress"].as_array().expect("rules")[..] else {
            panic!("{}: {}", overlay.name, policy["ingress"])
        };
        assert_eq!(rule["ports"][0]["port"], overlay.server().port().0);
        let [caller] = &rule["from"].as_array().expect("callers")[..] else { panic!("{rule}") };
        let namespace = &caller["namespaceSelector"]["matchLabels"];
        assert!(namespace["kubernetes.io/metadata.name"].is_string(), "one namespace: {caller}");
        assert!(caller["podSelector"]["matchLabels"].is_object(), "some of its pods: {caller}");
    }
}

#[test]
fn a_proxy_publishes_only_the_limited_endpoint() {
    for overlay in overlays_with("ingress") {
        let spec = &overlay.find("Ingress", "ratelimit-server")["spec"];
        let [rule] = &spec["rules"].as_array().expect("rules")[..] else { panic!("{spec}") };
        assert_eq!(spec["tls"][0]["hosts"], json!([rule["host"]]));
        let service = json!({ "name": "ratelimit-server", "port": { "name": "http" } });
        let path = json!({ "path": "/", "pathType": "Exact", "backend": { "service": service } });
        assert_eq!(rule["http"]["paths"], json!([path]));
        let ports = &overlay.find("Service", "ratelimit-server")["spec"]["ports"];
        assert_eq!(names(ports), ["http"]);
    }
    for overlay in overlays_with("gateway") {
        let spec = &overlay.find("HTTPRoute", "ratelimit-server")["spec"];
        let [rule] = &spec["rules"].as_array().expect("rules")[..] else { panic!("{spec}") };
        assert_eq!(rule["matches"], json!([{ "path": { "type": "Exact", "value": "/" } }]));
        let [backend] = &rule["backendRefs"].as_array().expect("backends")[..] else {
            panic!("{rule}")
        };
        let ports = &overlay.find("Service", "ratelimit-server")["spec"]["ports"];
        assert_eq!(*backend, json!({ "name": "ratelimit-server", "port": ports[0]["port"] }));
        // The network policy lets the same Gateway call.
        let policy = &overlay.find("NetworkPolicy", "ratelimit-server")["spec"];
        let caller = &policy["ingress"][0]["from"][0];
        let gateway = &spec["parentRefs"][0];
        let labels = &caller["podSelector"]["matchLabels"];
        assert_eq!(labels["gateway.networking.k8s.io/gateway-name"], gateway["name"]);
        let namespace = &caller["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
        assert_eq!(*namespace, gateway["namespace"]);
    }
}

#[test]
fn the_pod_monitors_find_the_metrics() {
    let alerts = repository("docker/prometheus/alerts.yml");
    for overlay in overlays_with("monitoring") {
        let pod = overlay.server();
        let endpoint = endpoint(&overlay, "ratelimit-server", pod.labels);
        assert_eq!(endpoint["port"], pod.port().0);
        assert_eq!(Settings::memory().start().get(text(&endpoint["path"])).status, 200);
        allows_prometheus(&overlay, "ratelimit-server");
        let redis = json!({ "app.kubernetes.io/name": "ratelimit-redis" });
        for (name, labels) in [("ratelimit-server", pod.labels), ("ratelimit-redis", &redis)] {
            let endpoint = self::endpoint(&overlay, name, labels);
            let relabelings = endpoint["relabelings"].as_array().expect("a list");
            let job = relabelings.iter().find(|rule| rule["targetLabel"] == "job").expect("a job");
            assert!(alerts.contains(&format!("job=\"{}\"", text(&job["replacement"]))), "{job}");
        }
    }
}

/// The endpoint of a PodMonitor that selects these pods.
#[track_caller]
fn endpoint<'a>(overlay: &'a Overlay, name: &str, labels: &Value) -> &'a Value {
    let monitor = overlay.find("PodMonitor", name);
    assert_eq!(monitor["metadata"]["namespace"], "ratelimit", "it selects pods of its namespace");
    assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels);
    &monitor["spec"]["podMetricsEndpoints"][0]
}

/// Prometheus may reach the port that the PodMonitor names.
#[track_caller]
fn allows_prometheus(overlay: &Overlay, name: &str) {
    let policy = &overlay.find("NetworkPolicy", &format!("{name}-monitoring"))["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"], name);
    let port = if name == "ratelimit-server" { "http" } else { "metrics" };
    assert_eq!(policy["ingress"][0]["ports"][0]["port"], port);
}

#[test]
fn the_prometheus_rule_has_the_alerts_that_are_tested() {
    let groups = |path: &str| {
        let text = repository(path);
        let (_, groups) = text.split_once("groups:\n").expect("groups");
        groups.lines().map(str::trim_start).map(|line| format!("{line}\n")).collect::<String>()
    };
    let rule = groups("docker/k8s/monitoring/prometheusrule.yaml");
    assert_eq!(rule, groups("docker/prometheus/alerts.yml"));
    let count = rule.matches("alert: ").count();
    for overlay in overlays_with("monitoring") {
        let rule = overlay.find("PrometheusRule", "ratelimit");
        let groups = rule["spec"]["groups"].as_array().expect("groups");
        let alerts = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
        assert_eq!(alerts.count(), count);
    }
}

#[test]
fn the_exporter_beside_redis_shows_the_numbers_of_the_module() {
    let server = with_password();
    for overlay in overlays_with("redis-exporter") {
        let pod = overlay.redis().expect("a Redis of its own");
        let container = pod.exporter();
        let port = &container["ports"][0];
        assert_eq!((&port["name"], &port["containerPort"]), (&"metrics".into(), &9121.into()));
        assert_eq!(pod.annotations["prometheus.io/port"], port["containerPort"].to_string());
        allows_prometheus(&overlay, "ratelimit-redis");

        let mut variables = pod.environment_of(container);
        let script = pod.mounted_file(container, &variables["REDIS_EXPORTER_SCRIPT"]);
        let redis = format!("redis://127.0.0.1:{}", pod.port().1);
        assert_eq!(variables["REDIS_ADDR"], redis, "the port of Redis");
        variables.insert("REDIS_ADDR".into(), format!("redis://127.0.0.1:{}", server.port()));
        variables.insert("REDIS_PASSWORD".into(), "p".into());
        let exporter = Exporter::start(variables, &script);
        assert_eq!(exporter.value("redis_up"), Some(1.0));
        let denied = r#"redis_script_values{key="ratelimit_denied"}"#;
        let before = exporter.value(denied).expect("the module's number");
        connect(&server).must("RATELIMIT.CHECK k 1 60 COST 2");
        assert_eq!(exporter.value(denied), Some(before + 1.0));
    }
}

#[test]
fn the_readme_describes_each_component_and_the_exporter() {
    let readme = repository("docker/k8s/README.md");
    for component in ["ingress", "gateway", "monitoring", "redis-exporter"] {
        assert!(readme.contains(&format!("\n| `{component}` |")), "{component}");
    }
    for overlay in overlays_with("redis-exporter") {
        let pod = overlay.redis().expect("a Redis of its own");
        let (_, version) = text(&pod.exporter()["image"]).split_once(":v").expect("a version");
        assert!(readme.contains(&format!("The tests run version {version},")), "{version}");
    }
    let fields = server().connect().must("INFO ratelimit").text();
    for field in fields.lines().filter_map(|line| line.split_once(':')).map(|(field, _)| field) {
        let row = format!("| `{field}` | `redis_script_values{{key=\"{field}\"}}` |");
        assert!(readme.contains(&row), "{row}");
    }
}
