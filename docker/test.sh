#!/usr/bin/env bash
# Builds the images, and tests each one alone and all together behind nginx. Needs a Docker engine.
# usage: [BASES=local] test.sh
# By default base images are pulled; RUST_IMAGE, DEBIAN_IMAGE, REDIS_IMAGE, VALKEY_IMAGE and
# NGINX_IMAGE name others. With BASES=local, for a machine that reaches no registry,
# docker/local-bases.sh makes the base images, and builds use the network of this machine.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
need_engine
need_compose
options=()

case ${BASES-} in
  local)
    local_bases=$("$root/docker/local-bases.sh")
    # shellcheck disable=SC2163 # a line is NAME=image
    while read -r line; do export "$line"; done <<<"$local_bases"
    options=(--network=host) ;;
  '') ;;
  *) die "BASES is local or not set, not '$BASES'" ;;
esac
for base in RUST_IMAGE DEBIAN_IMAGE REDIS_IMAGE VALKEY_IMAGE; do
  if [ -n "${!base-}" ]; then options+=(--build-arg "$base"); fi
done

build() { # image, target, option…
  local image=$1 target=$2 begun=$SECONDS
  shift 2
  say "building $image …"
  docker build --quiet --file "$root/docker/Dockerfile" --target "$target" --tag "$image" \
    ${options[@]+"${options[@]}"} "$@" "$root" >/dev/null || die "$image could not be built"
  say "  in $((SECONDS - begun)) s"
}

build ratelimit-module module
build ratelimit-redis redis
build ratelimit-valkey redis --build-arg SERVER=valkey
build ratelimit-server server
"$root/docker/check-images.sh"
"$root/docker/smoke.sh"
