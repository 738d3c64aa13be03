#!/usr/bin/env bash
# Publishes three images: NAME-redis and NAME-valkey, which are servers with the module, and
# NAME-server, which is the service.
# usage: images.sh login                 logs in at ghcr.io as REGISTRY_USER with REGISTRY_TOKEN
#        images.sh push NAME VERSION     builds for this architecture and pushes VERSION-ARCH
#        images.sh join NAME VERSION     joins amd64 and arm64 to the tags VERSION and latest
# NAME is for example ghcr.io/owner/ratelimit. VERSION may begin with a v. With DRY_RUN=1 the script
# only prints the commands.
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

# The name of an image has no capital letters; the name of its owner may have some.
lower() { tr '[:upper:]' '[:lower:]' <<<"$1"; }

architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) die "there are no images for $(uname -m)" ;;
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
    run buildx build --file docker/Dockerfile --target "$target" --build-arg "$argument" \
      --platform "linux/$arch" --provenance=false --tag "$name-$image:$version-$arch" --push .
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
