# shellcheck shell=bash
# Functions that the scripts of this folder share. A script sources this file.
# shellcheck source=../scripts/lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
export DOCKER_BUILDKIT=1

need_engine() {
  have docker || die "docker is missing; docker/README.md says how to install it"
  docker info >/dev/null 2>&1 ||
    die "no Docker engine answers (docker info says why); docker/README.md says how to start one"
}

# Runs compose, which is a plug-in of docker or a program of its own.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

need_compose() {
  docker compose version >/dev/null 2>&1 || have docker-compose ||
    die "docker compose is missing; docker/README.md says how to install it"
}

expect() { # what, expected, found
  [ "$2" = "$3" ] || die "$1: expected $2, found $3"
  say "  $1: $3"
}

eventually() { # seconds, what must become true, command
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || die "not true in time: $what"
    sleep 0.1
  done
}
