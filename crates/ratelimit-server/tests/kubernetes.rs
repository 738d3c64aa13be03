//! The overlays of docker/k8s, tried on the programs that they start.

mod components;
mod entrypoint;
mod manifests;

use std::collections::BTreeMap;

use ratelimit_harness::{eventually, servers, Cluster, Server, Setup};
use serde_json::{json, Value};

use crate::documents::helped;
use crate::service::{repository, Service, Settings};
use crate::targets::decides_by_the_module;
use entrypoint::Container;
use manifests::{overlays, overlays_with, text, texts, Overlay, Pod};

#[test]
fn each_variable_is_a_setting_of_the_service() {
    let known = helped();
    for overlay in overlays() {
        for name in overlay.server().environment().keys() {
            assert!(known.contains_key(name), "{}: the service has no {name}", overlay.name);
        }
    }
}

#[test]
fn the_service_decides_with_the_settings_of_each_overlay() {
    for overlay in overlays() {
        let variables = overlay.server().environment();
        let (_servers, hosts) = what_it_reaches(&overlay, &variables["REDIS_URL"]);
        let service = start(variables.clone(), &hosts);
        decides_by_the_module(&service);
        for probe in overlay.server().probes() {
            let path = text(&probe["httpGet"]["path"]);
            eventually(path, || service.get(path).status == 200);
        }
        let (limit, window) = (&variables["RATE_LIMIT"], &variables["TIME_WINDOW"]);
        let policy = service.get("/").field("ratelimit-policy").to_owned();
        assert_eq!(policy, format!(r#""default";q={limit};w={window}"#));
    }
}

/// Starts the service with these variables, except for its own address and those of its servers.
fn start(mut variables: BTreeMap<String, String>, hosts: &str) -> Service {
    let is = |name: &str, value: &str| assert_eq!(variables[name], value, "{name}");
    is("BIND", "0.0.0.0");
    is("PORT", "3000");
    let url = variables["REDIS_URL"].clone();
    let here = url.replace(hosts_of(&url), hosts);
    for (name, value) in [("BIND", "127.0.0.1"), ("PORT", "0"), ("REDIS_URL", &here)] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let mut settings = Settings::bare();
    for (name, value) in variables {
        settings = settings.set(&name, value);
    }
    settings.start()
}

/// `host,host:port` between the password and the path.
fn hosts_of(url: &str) -> &str {
    let hosts = url.split_once('@').expect("a password").1;
    hosts.split('/').next().expect("hosts")
}

/// The handle of the servers, and their addresses.
fn what_it_reaches(overlay: &Overlay, url: &str) -> (Box<dyn std::any::Any>, String) {
    if let Some(pod) = overlay.redis() {
        let container = run(&pod);
        let hosts = format!("127.0.0.1:{}", container.port);
        return (Box::new(container), hosts);
    }
    let credentials = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let (user, password) = credentials.and_then(|(words, _)| words.split_once(':')).expect("both");
    let admit = |server: &Server| {
        server.connect().must(&format!("ACL SETUSER {user} on >{password} ~* +@all"));
    };
    let setup = Setup::module(&servers()[0]);
    if overlay.name == "cluster" {
        let cluster = Cluster::start(&setup);
        cluster.nodes.iter().for_each(admit);
        let ports = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let hosts = ports.collect::<Vec<_>>().join(",");
        return (Box::new(cluster), hosts);
    }
    let master = setup.start();
    admit(&master);
    let sentinel = Setup::sentinel(&master, 1).start();
    let hosts = format!("127.0.0.1:{}", sentinel.port());
    (Box::new((sentinel, master)), hosts)
}

fn run(pod: &Pod) -> Container {
    let mut container = Container::new(pod.environment());
    container.start(&texts(&pod.container()["args"]));
    container
}

#[test]
fn each_kubernetes_service_leads_to_the_port_of_its_pods() {
    for overlay in overlays() {
        let pod = overlay.server();
        let (name, number) = pod.port();
        assert_eq!(number.to_string(), pod.environment()["PORT"]);
        assert!(pod.probes().iter().all(|probe| probe["httpGet"]["port"] == name));
        assert_eq!(pod.annotations["prometheus.io/port"], number.to_string());
        let metrics = text(&pod.annotations["prometheus.io/path"]);
        assert_eq!(Settings::memory().start().get(metrics).status, 200);
        leads_to(overlay.find("Service", "ratelimit-server"), &pod);
    }
}

#[test]
fn each_redis_address_leads_to_a_port_of_redis() {
    for overlay in overlays() {
        let Some(pod) = overlay.redis() else { continue };
        let default = repository("docker/redis/entrypoint.sh").contains("${REDIS_PORT:-6379}");
        assert!(default && pod.port() == ("redis", 6379));
        let service = overlay.find("Service", "ratelimit-redis");
        leads_to(service, &pod);
        let url = &overlay.server().environment()["REDIS_URL"];
        assert_eq!(hosts_of(url), text(&service["metadata"]["name"]), "on the port 6379");
        assert!(url.contains(&format!(":{}@", pod.environment()["REDIS_PASSWORD"])));
    }
}

#[track_caller]
fn leads_to(service: &Value, pod: &Pod) {
    assert_eq!(&service["spec"]["selector"], pod.labels);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], pod.port().0);
}

#[test]
fn redis_takes_its_options_and_its_probes_are_right() {
    for overlay in overlays() {
        let Some(pod) = overlay.redis() else { continue };
        let words = texts(&pod.container()["args"]);
        let probes: Vec<_> =
            pod.probes().iter().map(|probe| texts(&probe["exec"]["command"])).collect();
        let container = Container::new(pod.environment());
        assert!(probes.iter().all(|probe| !container.passes(probe)), "nobody listens");
        let container = run(&pod);
        for probe in &probes {
            eventually("the probe passes", || container.passes(probe));
        }
        for option in words.chunks(2) {
            let name = option[0].trim_start_matches("--");
            let answer = container.connect().must(&format!("CONFIG GET {name}")).texts();
            let bytes = option[1].replace("200mb", "209715200");
            assert_eq!(answer, [name, &*bytes]);
        }
    }
}

#[test]
fn a_probe_fails_without_the_module_or_the_password() {
    let overlays = overlays();
    let pod = overlays.iter().find_map(Overlay::redis).expect("one brings its own");
    let probe = texts(&pod.probes()[0]["exec"]["command"]);
    let plain = Setup::plain(&servers()[0]).start();
    let mut asking = Container::new(BTreeMap::new());
    asking.ask(plain.port(), None);
    assert!(!asking.passes(&probe), "no module");
    let container = run(&pod);
    eventually("the probe passes", || container.passes(&probe));
    asking.ask(container.port, None);
    assert!(!asking.passes(&probe), "no password");
    asking.ask(container.port, Some(&pod.environment()["REDIS_PASSWORD"]));
    assert!(asking.passes(&probe));
}

#[test]
fn a_redis_that_is_moved_keeps_its_counts() {
    for overlay in overlays() {
        let Some(pod) = overlay.redis() else { continue };
        let mut container = run(&pod);
        for remaining in (0..3).rev() {
            let reply = container.connect().must("RATELIMIT.CHECK k 3 1h");
            assert_eq!(reply.integers()[2], remaining);
            assert!(container.terminate().success());
            container.start(&texts(&pod.container()["args"]));
            let probe = texts(&pod.probes()[0]["exec"]["command"]);
            eventually("it decides again", || container.passes(&probe));
        }
        assert!(!container.connect().must("RATELIMIT.CHECK k 3 1h").allowed());
    }
}

#[test]
fn the_service_has_time_to_start_and_to_end() {
    for overlay in overlays() {
        let pod = overlay.server();
        let seconds = |value: &Value| value.as_u64().expect("seconds");
        let startup = &pod.container()["startupProbe"];
        let waits = seconds(&startup["periodSeconds"]) * seconds(&startup["failureThreshold"]);
        assert!(waits > set_seconds(&pod, "START_DEADLINE"), "{}: {waits} s", overlay.name);
        // preStop, a second for last requests (docs/server.md), and the requests that have begun.
        let last = seconds(&pod.container()["lifecycle"]["preStop"]["sleep"]["seconds"]);
        let needed = last + 1 + set_seconds(&pod, "SHUTDOWN_DEADLINE");
        let grace = seconds(&pod.spec["terminationGracePeriodSeconds"]);
        assert!(grace >= needed, "{}: {grace} s, but {needed} s are needed", overlay.name);
    }
}

fn set_seconds(pod: &Pod, name: &str) -> u64 {
    let value = pod.environment().remove(name).unwrap_or_else(|| panic!("{name} is not set"));
    value.strip_suffix('s').and_then(|number| number.parse().ok()).expect("seconds")
}

#[test]
fn all_shares_together_stay_within_the_limit() {
    for overlay in overlays() {
        let scaler = &overlay.find("HorizontalPodAutoscaler", "ratelimit-server")["spec"];
        let deployment = &overlay.find("Deployment", "ratelimit-server")["spec"];
        assert_eq!(deployment["replicas"], Value::Null, "the scaler sets them");
        assert_eq!(scaler["scaleTargetRef"]["name"], "ratelimit-server");
        let surge = &deployment["strategy"]["rollingUpdate"]["maxSurge"];
        let most = scaler["maxReplicas"].as_u64().expect("n") + surge.as_u64().expect("n");
        let variables = overlay.server().environment();
        assert_eq!(variables["ON_REDIS_FAILURE"], "local");
        assert_eq!(variables["INSTANCES"], most.to_string());
        let budget = &overlay.find("PodDisruptionBudget", "ratelimit-server")["spec"];
        assert_eq!(&budget["selector"]["matchLabels"], overlay.server().labels);
        assert!(scaler["minReplicas"].as_u64() > budget["maxUnavailable"].as_u64());
    }
}

/// The pod security standard `restricted`, which the namespace demands, and more.
#[test]
fn each_pod_has_only_the_rights_that_it_needs() {
    for overlay in overlays().into_iter().chain(overlays_with("redis-exporter")) {
        let namespace = &overlay.find("Namespace", "ratelimit")["metadata"];
        assert_eq!(namespace["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        for pod in overlay.pods() {
            let security = &pod.spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true);
            assert!(security["runAsUser"].as_u64() > Some(0));
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod.spec["automountServiceAccountToken"], false);
            assert_eq!(pod.spec["enableServiceLinks"], false, "REDIS_PORT would be a URL");
            for container in pod.all_containers() {
                let expected = json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                });
                assert_eq!(container["securityContext"], expected);
                assert!(container["resources"]["limits"]["memory"].is_string());
                assert!(container["resources"]["requests"]["cpu"].is_string());
            }
        }
    }
}

#[test]
fn the_network_lets_only_the_service_reach_its_redis() {
    for overlay in overlays() {
        let service = overlay.server();
        let callers = &overlay.find("NetworkPolicy", "ratelimit-server")["spec"];
        assert_eq!(&callers["podSelector"]["matchLabels"], service.labels);
        assert_eq!(callers["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(callers["ingress"][0]["ports"][0]["port"], service.port().0);
        let way = &overlay.find("NetworkPolicy", "ratelimit-server-redis")["spec"];
        assert_eq!(&way["podSelector"]["matchLabels"], service.labels);
        let to = &way["egress"][0]["to"][0];
        let ports = way["egress"][0]["ports"].as_array().expect("ports");
        if let Some(redis) = overlay.redis() {
            assert_eq!(&to["podSelector"]["matchLabels"], redis.labels);
            assert_eq!(ports[0]["port"], redis.port().0);
            let guard = &overlay.find("NetworkPolicy", "ratelimit-redis")["spec"];
            assert_eq!(&guard["podSelector"]["matchLabels"], redis.labels);
            let from = &guard["ingress"][0]["from"][0];
            assert_eq!(from, &json!({ "podSelector": { "matchLabels": service.labels } }));
            assert_eq!(guard["egress"], json!([]), "to nobody");
            continue;
        }
        let namespace =
            text(&to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]);
        let is_sentinel = overlay.name == "sentinel";
        let expected: &[u64] = if is_sentinel { &[26379, 6379] } else { &[6379] };
        let ports: Vec<_> = ports.iter().filter_map(|port| port["port"].as_u64()).collect();
        assert_eq!(ports, expected, "what REDIS_URL means without a port");
        for host in hosts_of(&service.environment()["REDIS_URL"]).split(',') {
            assert_eq!(host.rsplit('.').next(), Some(namespace), "{host}");
        }
    }
}

#[test]
fn the_init_container_copies_the_files_of_the_image() {
    let overlays = overlays();
    let stock = overlays.iter().find(|overlay| overlay.name == "stock").expect("it is there");
    let pod = stock.redis().expect("it brings its own");
    let carrier = pod.all_containers()[0];
    let words = texts(&carrier["command"]);
    let ["cp", carried @ .., to] = &*words else { panic!("{words:?}") };
    assert_eq!(carrier["volumeMounts"][0]["mountPath"], *to);
    let dockerfile = repository("docker/Dockerfile");
    let mounts = pod.container()["volumeMounts"].as_array().expect("mounts");
    for path in carried {
        let (dir, name) = path.rsplit_once('/').expect("a path");
        let copied = dockerfile.lines().any(|line| {
            let target = line.rsplit(' ').next().expect("a word");
            line.starts_with("COPY")
                && (target == *path || (target == format!("{dir}/") && line.contains(name)))
        });
        assert!(copied, "docker/Dockerfile puts nothing at {path}");
        let lands = mounts.iter().any(|mount| {
            mount["mountPath"] == *path
                && mount["subPath"] == name
                && mount["name"] == carrier["volumeMounts"][0]["name"]
        });
        assert!(lands, "{path} does not reach the stock image");
    }
    assert_eq!(texts(&pod.container()["command"]), ["ratelimit-entrypoint"]);
}

#[test]
fn the_images_are_those_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let dockerfile = repository("docker/Dockerfile");
    for overlay in overlays() {
        for container in overlay.pods().iter().flat_map(Pod::all_containers) {
            let image = text(&container["image"]);
            let (name, tag) = image.split_once(':').expect("a tag");
            if name == "redis" {
                let (of_redis, _) = tag.split_once('-').expect("a version");
                assert!(dockerfile.contains(&format!("ARG REDIS_VERSION={of_redis}\n")), "{image}");
            } else {
                assert_eq!(tag, version, "{}: {image}", overlay.name);
            }
        }
    }
}

#[test]
fn the_readme_describes_each_overlay_and_its_password() {
    let readme = repository("docker/k8s/README.md");
    for overlay in overlays() {
        let name = &overlay.name;
        assert!(readme.contains(&format!("\n| `{name}` |")), "{name}");
        let example = repository(&format!("docker/k8s/{name}/secret.env.example"));
        let url = &overlay.server().environment()["REDIS_URL"];
        assert!(url.contains(":example@") && example.contains(url), "{name}");
    }
    let judged = repository("scripts/kubernetes/validate.py");
    let (_, versions) = judged.split_once("VERSIONS = [\"").expect("its versions");
    let (versions, _) = versions.split_once("\"]").expect("their end");
    let versions = versions.replace("\", \"", " and ");
    assert!(readme.contains(&format!("that Kubernetes\n{versions} publish")), "{versions}");
}
