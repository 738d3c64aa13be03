"""Validates rendered resources against the schemas of Kubernetes, and writes them as JSON.

usage: validate.py DIRECTORY OVERLAY.yaml...
OVERLAY+COMPONENT.yaml goes to the folder with/. validate.mjs validates custom resources.
"""

import base64
import copy
import functools
import json
import pathlib
import sys

import yaml
from kubernetes_validate import ValidationError, validate

# The oldest version that can run the overlays (they use preStop.sleep), and the newest version
# whose schemas the package has.
VERSIONS = ["1.30", "1.37"]


@functools.cache
def problem_of(text, version):
    """What is wrong with a resource in JSON, or None. Most renderings share most resources."""
    resource = json.loads(text)
    try:
        validate(resource, version, strict=True)
    except ValidationError as error:
        path = ".".join(str(part) for part in error.path)
        return f"{resource['kind']} {resource['metadata']['name']}: {path}: {error.message}"
    return None


def problem(resource, version):
    """What is wrong with the resource, or None."""
    return problem_of(json.dumps(resource, sort_keys=True), version)


def is_custom(resource):
    """Whether the resource is of a kind that Kubernetes itself does not have."""
    return resource["apiVersion"].startswith(("gateway.networking.k8s.io/", "monitoring.coreos.com/"))


def must_reject_a_misspelt_field(deployment):
    """Ends the program if the validator accepts everything, which nobody would notice."""
    for version in VERSIONS:
        for misspelt in [{"livenesProbe": {}}, {"ports": [{"containerPort": "http"}]}]:
            wrong = copy.deepcopy(deployment)
            wrong["spec"]["template"]["spec"]["containers"][0].update(misspelt)
            if problem(wrong, version) is None:
                sys.exit(f"error: the schemas of Kubernetes {version} accept {misspelt}")


def readable(resource):
    """A Secret as its author wrote it, not encoded in base64."""
    if resource["kind"] == "Secret":
        encoded = resource.pop("data")
        resource["stringData"] = {
            name: base64.b64decode(value).decode() for name, value in encoded.items()
        }
    return resource


directory, *files = sys.argv[1:]
problems = 0
valid = {}
for path in map(pathlib.Path, files):
    resources = list(yaml.safe_load_all(path.read_text()))
    known = [resource for resource in resources if not is_custom(resource)]
    for version in VERSIONS:
        for message in filter(None, (problem(resource, version) for resource in known)):
            place = f"docker/k8s/{path.stem}, Kubernetes {version}"
            print(f"error: {place}: {message}", file=sys.stderr)
            problems += 1
    if "+" not in path.stem:
        must_reject_a_misspelt_field(next(r for r in resources if r["kind"] == "Deployment"))
    valid[path.stem] = [readable(resource) for resource in resources]
if problems:
    sys.exit(1)
for overlay, resources in valid.items():
    folder = pathlib.Path(directory, "with" if "+" in overlay else "")
    (folder / f"{overlay}.json").write_text(json.dumps(resources, indent=1))
versions = " and ".join(VERSIONS)
number = sum(not is_custom(resource) for resources in valid.values() for resource in resources)
print(f"docker/k8s: {number} resources in {len(valid)} renderings, valid for Kubernetes {versions}")
