//! `docker/compose.yaml` and the files that it mounts: they agree with each other and the program.

use std::collections::BTreeSet;

use crate::documents::helped;
use crate::service::repository;

const COMPOSE: &str = "docker/compose.yaml";

fn compose() -> String {
    repository(COMPOSE)
}

/// The rest of the line after this text in the file.
#[track_caller]
fn behind<'a>(text: &'a str, prefix: &str) -> &'a str {
    let (_, rest) = text.split_once(prefix).unwrap_or_else(|| panic!("no {prefix:?} in:\n{text}"));
    rest.lines().next().expect("a line").trim()
}

/// The instances as nginx names them: `ratelimit-1:3000`.
fn instances() -> Vec<String> {
    let nginx = repository("docker/nginx.conf");
    let servers = nginx.lines().filter_map(|line| line.trim().strip_prefix("server ratelimit"));
    let names = servers.map(|rest| format!("ratelimit{}", rest.trim_end_matches(';')));
    names.collect()
}

#[test]
fn each_variable_is_a_setting_of_the_service() {
    let text = compose();
    let (_, block) = text.split_once("x-settings: &settings\n").expect("the settings");
    let block = block.lines().take_while(|line| line.starts_with("  "));
    let named = block.filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    let named: Vec<_> = named.filter(|name| !name.starts_with('#')).collect();
    let known = helped();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        assert!(known.contains_key(name), "{COMPOSE} sets {name}, which is no setting");
    }
}

#[test]
fn compose_nginx_and_prometheus_name_the_same_instances() {
    let (text, instances) = (compose(), instances());
    let of_compose = text.lines().filter_map(|line| line.strip_prefix("  ratelimit-"));
    let of_compose: Vec<_> = of_compose.map(|rest| format!("ratelimit-{rest}3000")).collect();
    assert_eq!(of_compose, instances);
    assert_eq!(behind(&text, "INSTANCES: "), instances.len().to_string());
    let peers = instances.iter().map(|name| format!("http://{name}")).collect::<Vec<_>>();
    assert_eq!(behind(&text, "PEERS: "), peers.join(","));
    let prometheus = repository("docker/prometheus/prometheus.yml");
    assert_eq!(behind(&prometheus, "- targets: "), format!("{instances:?}"));
}

#[test]
fn only_nginx_is_trusted_and_it_finds_each_instance() {
    let text = compose();
    let address = behind(&text, "networks: {front: {ipv4_address: \"${NETWORK:-10.203.17}.10");
    assert!(address.starts_with('"'), "nginx has the address .10");
    assert_eq!(behind(&text, "TRUSTED_PROXIES: "), "${NETWORK:-10.203.17}.10");
    for (name, last) in instances().iter().zip(11..) {
        let name = name.strip_suffix(":3000").expect("the port");
        let service = text.split_once(&format!("  {name}:\n")).expect("a service").1;
        let address = format!("${{NETWORK:-10.203.17}}.{last}");
        assert!(behind(service, "ipv4_address: ").starts_with(&format!("\"{address}\"")), "{name}");
        assert!(text.contains(&format!("- \"{name}:{address}\"")), "{name} in extra_hosts");
    }
}

#[test]
fn the_build_arguments_are_those_of_the_dockerfile() {
    let dockerfile = repository("docker/Dockerfile");
    let arguments = dockerfile.lines().filter_map(|line| line.strip_prefix("ARG "));
    let known: BTreeSet<_> =
        arguments.map(|rest| rest.split('=').next().expect("a name")).collect();
    let text = compose();
    let lists = text.lines().filter_map(|line| line.trim().strip_prefix("args: ["));
    let named: Vec<_> = lists.flat_map(|list| list.trim_end_matches(']').split(", ")).collect();
    assert!(named.len() > 4, "{named:?}");
    assert!(named.iter().all(|name| known.contains(name)), "{named:?} of {known:?}");
}

#[test]
fn grafana_finds_the_dashboard_where_it_is_mounted() {
    let provider = repository("docker/grafana/provisioning/dashboards/ratelimit.yml");
    let path = behind(&provider, "options: {path: ").trim_end_matches('}');
    let text = compose();
    assert!(text.contains(&format!("- ./grafana/dashboards:{path}:ro\n")), "{path}");
    assert!(text.contains(&format!("{path}/ratelimit.json\n")), "{path}");
    assert!(text.contains("- ./grafana/provisioning:/etc/grafana/provisioning:ro\n"));
}
