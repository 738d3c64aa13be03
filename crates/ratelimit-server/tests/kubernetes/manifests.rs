//! The overlays of docker/k8s, as rendered and validated by scripts/kubernetes/validate.sh.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::service::read;

/// RATELIMIT_KUBERNETES: the directory with a JSON file for each overlay.
pub fn overlays() -> Vec<Overlay> {
    let overlays = overlays_in("");
    let names: Vec<_> = overlays.iter().map(|overlay| &*overlay.name).collect();
    assert_eq!(names, ["cluster", "sentinel", "single", "stock"]);
    overlays
}

/// Each overlay that can take the component, with it.
pub fn overlays_with(component: &str) -> Vec<Overlay> {
    let suffix = format!("+{component}");
    let mut overlays = overlays_in("with");
    overlays.retain(|overlay| overlay.name.ends_with(&suffix));
    assert!(overlays.len() >= 2, "{component}: {}", overlays.len());
    overlays
}

fn overlays_in(folder: &str) -> Vec<Overlay> {
    let dir = std::env::var("RATELIMIT_KUBERNETES");
    let dir = dir.expect("RATELIMIT_KUBERNETES is not set: run `make test`");
    let dir = Path::new(&dir).join(folder);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
    let mut overlays: Vec<_> = files
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| Overlay::read(&path))
        .collect();
    overlays.sort_by(|a, b| a.name.cmp(&b.name));
    overlays
}

pub struct Overlay {
    pub name: String,
    resources: Vec<Value>,
}

impl Overlay {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let resources = serde_json::from_str(&read(path)).expect("a list of resources");
        Self { name, resources }
    }

    #[track_caller]
    pub fn find(&self, kind: &str, name: &str) -> &Value {
        let is_it =
            |resource: &&Value| resource["kind"] == kind && resource["metadata"]["name"] == name;
        let found = self.resources.iter().find(is_it);
        found.unwrap_or_else(|| panic!("{} has no {kind} {name}", self.name))
    }

    pub fn server(&self) -> Pod<'_> {
        Pod::of(self, self.find("Deployment", "ratelimit-server"))
    }

    /// If the overlay has one of its own.
    pub fn redis(&self) -> Option<Pod<'_>> {
        let set = self.resources.iter().find(|resource| resource["kind"] == "StatefulSet");
        set.map(|set| Pod::of(self, set))
    }

    pub fn pods(&self) -> Vec<Pod<'_>> {
        std::iter::once(self.server()).chain(self.redis()).collect()
    }
}

/// The pods of a Deployment or a StatefulSet.
pub struct Pod<'a> {
    overlay: &'a Overlay,
    pub labels: &'a Value,
    pub annotations: &'a Value,
    pub spec: &'a Value,
}

impl<'a> Pod<'a> {
    fn of(overlay: &'a Overlay, owner: &'a Value) -> Self {
        let template = &owner["spec"]["template"];
        let (labels, annotations) =
            (&template["metadata"]["labels"], &template["metadata"]["annotations"]);
        assert_eq!(&owner["spec"]["selector"]["matchLabels"], labels, "it owns its pods");
        Self { overlay, labels, annotations, spec: &template["spec"] }
    }

    /// The container of the service or of Redis. Redis may have an exporter beside it.
    pub fn container(&self) -> &'a Value {
        let mut containers = self.containers();
        containers.retain(|container| container["name"] != "exporter");
        assert_eq!(containers.len(), 1);
        containers[0]
    }

    pub fn exporter(&self) -> &'a Value {
        let containers = self.containers().into_iter();
        let mut exporters = containers.filter(|container| container["name"] == "exporter");
        exporters.next().expect("an exporter")
    }

    fn containers(&self) -> Vec<&'a Value> {
        self.spec["containers"].as_array().expect("containers").iter().collect()
    }

    pub fn all_containers(&self) -> Vec<&'a Value> {
        let prepare = self.spec["initContainers"].as_array().into_iter().flatten();
        prepare.chain(self.containers()).collect()
    }

    /// `(name, number)` of its only port.
    pub fn port(&self) -> (&'a str, u64) {
        let ports = self.container()["ports"].as_array().expect("ports");
        assert_eq!(ports.len(), 1);
        let number = ports[0]["containerPort"].as_u64().expect("a number");
        (text(&ports[0]["name"]), number)
    }

    pub fn probes(&self) -> Vec<&'a Value> {
        let probe = |name: &&str| &self.container()[*name];
        ["startupProbe", "readinessProbe", "livenessProbe"].iter().map(probe).collect()
    }

    /// The environment as a kubelet builds it: first whole maps, then single variables.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environment_of(self.container())
    }

    pub fn environment_of(&self, container: &Value) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let map = self.overlay.find("ConfigMap", text(&source["configMapRef"]["name"]));
            let entries = map["data"].as_object().expect("entries");
            let entries = entries.iter().map(|(name, value)| (name.clone(), text(value).into()));
            variables.extend(entries);
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = match variable["value"].as_str() {
                Some(value) => value.to_owned(),
                None => self.value_from(&variable["valueFrom"]),
            };
            variables.insert(text(&variable["name"]).to_owned(), value);
        }
        variables
    }

    /// The text of a file that a container reads from a mounted ConfigMap.
    #[track_caller]
    pub fn mounted_file(&self, container: &Value, path: &str) -> String {
        let (dir, name) = path.rsplit_once('/').expect("a path");
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| mount["mountPath"] == dir).expect("a mount");
        let volumes = self.spec["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
        let map = text(&volume.expect("a volume")["configMap"]["name"]);
        text(&self.overlay.find("ConfigMap", map)["data"][name]).to_owned()
    }

    #[track_caller]
    fn value_from(&self, source: &Value) -> String {
        let secret = &source["secretKeyRef"];
        if secret.is_object() {
            let entries = &self.overlay.find("Secret", text(&secret["name"]))["stringData"];
            return text(&entries[text(&secret["key"])]).to_owned();
        }
        assert_eq!(source["fieldRef"]["fieldPath"], "metadata.name", "{source}");
        "ratelimit-server-5c689d88bb-qwert".to_owned()
    }
}

#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(text).collect()
}
