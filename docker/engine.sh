# shellcheck shell=bash
# What the scripts here share: the engine, compose, waiting. Sourced, never run.
# shellcheck source=../scripts/lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
export DOCKER_BUILDKIT=1

need_engine() {
  have docker || die "docker is missing; docker/README.md tells how to get it"
  docker info >/dev/null 2>&1 ||
    die "no Docker engine answers (docker info says why); docker/README.md tells how to get one"
}

# Compose as the engine's plug-in, or as a program of its own.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

need_compose() {
  docker compose version >/dev/null 2>&1 || have docker-compose ||
    die "docker compose is missing; docker/README.md tells how to get it"
}

expect() { # what, expected, found
  [ "$2" = "$3" ] || die "$1: expected $2, found $3"
  say "  $1: $3"
}

eventually() { # seconds, what is waited for, command
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || die "waited in vain: $what"
    sleep 0.1
  done
}
