#!/usr/bin/env bash
# Publishes the images: NAME-redis and NAME-valkey, servers with the module, and NAME-server, the service.
# usage: images.sh login                 to the registry of GitHub, as REGISTRY_USER with REGISTRY_TOKEN
#        images.sh push NAME VERSION     builds them for this machine's architecture and pushes them as VERSION-ARCH
#        images.sh join NAME VERSION     makes VERSION and latest, of amd64 and arm64
# NAME is such as ghcr.io/owner/ratelimit; VERSION may have a v in front. DRY_RUN=1 only says what it would do.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"

# image, target of docker/Dockerfile, build argument
images='
redis redis SERVER=redis
valkey redis SERVER=valkey
server server SERVER=redis
'

run() { if [ -n "${DRY_RUN-}" ]; then echo "docker $*"; else docker "$@" </dev/null; fi; }

# Names of images have no capitals, names of owners may.
lower() { tr '[:upper:]' '[:lower:]' <<<"$1"; }

architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) die "no images are made for $(uname -m)" ;;
  esac
}

login() {
  : "${REGISTRY_USER:?is not set}" "${REGISTRY_TOKEN:?is not set}"
  docker login ghcr.io --username "$REGISTRY_USER" --password-stdin <<<"$REGISTRY_TOKEN"
}

push() { # name, version
  local arch name version=${2#v} image target argument
  arch=$(architecture)
  name=$(lower "$1")
  while read -r image target argument; do
    [ -n "$image" ] || continue
    run buildx build --file docker/Dockerfile --target "$target" --build-arg "$argument" --platform "linux/$arch" \
      --provenance=false --tag "$name-$image:$version-$arch" --push .
  done <<<"$images"
}

join() { # name, version
  local name version=${2#v} image _
  name=$(lower "$1")
  while read -r image _; do
    [ -n "$image" ] || continue
    run buildx imagetools create --tag "$name-$image:$version" --tag "$name-$image:latest" \
      "$name-$image:$version-amd64" "$name-$image:$version-arm64"
  done <<<"$images"
}

case $#${1-} in
  1login | 3push | 3join) "$@" ;;
  *) die "usage: images.sh login | push NAME VERSION | join NAME VERSION (see --help)" ;;
esac
