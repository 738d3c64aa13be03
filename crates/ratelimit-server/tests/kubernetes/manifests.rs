//! The overlays of docker/k8s, as rendered and validated by scripts/kubernetes/validate.sh.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::service::read;

/// RATELIMIT_KUBERNETES: the directory with a JSON file for each overlay.
pub fn overlays() -> Vec<Overlay> {
    let dir = std::env::var("RATELIMIT_KUBERNETES");
    let dir = dir.expect("RATELIMIT_KUBERNETES is not set: run `make test`");
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir}: {error}"));
    let mut overlays: Vec<_> = files
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| Overlay::read(&path))
        .collect();
    overlays.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = overlays.iter().map(|overlay| &*overlay.name).collect();
    assert_eq!(names, ["cluster", "sentinel", "single", "stock"]);
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

    /// Each pod here has one container, besides its init containers.
    pub fn container(&self) -> &'a Value {
        let containers = self.spec["containers"].as_array().expect("containers");
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    pub fn all_containers(&self) -> Vec<&'a Value> {
        let prepare = self.spec["initContainers"].as_array().into_iter().flatten();
        prepare.chain([self.container()]).collect()
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
        let container = self.container();
        let mut variables = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let map = self.overlay.find("ConfigMap", text(&source["configMapRef"]["name"]));
            let entries = map["data"].as_object().expect("entries");
            let entries = entries.iter().map(|(name, value)| (name.clone(), text(value).into()));
            variables.extend(entries);
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = self.value_from(&variable["valueFrom"]);
            variables.insert(text(&variable["name"]).to_owned(), value);
        }
        variables
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
