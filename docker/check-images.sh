#!/usr/bin/env bash
# Tests each image alone: its user, its health check, its messages for wrong settings, how it waits
# for a Redis that starts later, and how it stops. Exits with 0 if everything was as expected.
# usage: check-images.sh
# It needs the images ratelimit-module, ratelimit-redis, ratelimit-valkey and ratelimit-server,
# which docker/test.sh builds. At the end it removes all that it started.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
need_engine
mine=ratelimit-check-$$
work=$(mktemp -d)

# shellcheck disable=SC2317 # a trap calls it
end() {
  local code=$?
  trap - EXIT
  { docker ps -aq --filter "label=$mine" | xargs -r docker rm -fv &&
    docker volume ls -q --filter "name=$mine-" | xargs -r docker volume rm; } >/dev/null ||
    say "not everything that $mine started could be removed"
  docker network rm $mine >/dev/null || say "the network $mine could not be removed"
  rm -rf "$work"
  exit $code
}
docker network create $mine >/dev/null
trap end EXIT
trap 'exit 1' INT TERM HUP

start() { # name, arguments of docker run
  local name=$1
  shift
  docker run -d --label $mine --name "$mine-$name" --network $mine --network-alias "$name" \
    --read-only --cap-drop ALL --security-opt no-new-privileges "$@" >/dev/null
}

state() { docker inspect -f "$2" "$mine-$1"; } # name, template
is_healthy() { [ "$(state "$1" '{{.State.Health.Status}}')" = healthy ]; }
has_logged() { docker logs "$mine-$1" 2>&1 | grep -q "$2"; } # name, pattern

# Sends SIGTERM and checks that the container exits with 0 within ten seconds.
stops() { # name
  local begun=$SECONDS took
  docker stop -t 30 "$mine-$1" >/dev/null
  took=$((SECONDS - begun))
  [ $took -le 10 ] || die "$1 took $took s to stop"
  expect "after SIGTERM it stops within $took s with exit status" 0 \
    "$(state "$1" '{{.State.ExitCode}}')"
}

# Checks that a container with a wrong setting exits at once, with this status and this message.
rejects() { # what is wrong, exit status, message, arguments of docker run
  local what=$1 status=$2 message=$3 found=0
  shift 3
  timeout 20 docker run --rm --label $mine --network $mine "$@" >"$work/output" 2>&1 || found=$?
  grep -qF -- "$message" "$work/output" ||
    { cat "$work/output" >&2; die "$what: its output lacks: $message"; }
  expect "with $what its exit status is" "$status" "$found"
}

does_not_run_as_root() { # image
  local id
  id=$(docker run --rm --network none --entrypoint id "$1" -u)
  [ "$id" != 0 ] || die "$1 runs as root"
  say "  it runs as user $id"
}

# Sends a command to a server and prints the reply on one line.
send() { # name, word…
  local name=$1
  shift
  docker exec "$mine-$name" "$name-cli" "$@" 2>&1 | paste -sd' ' -
}

say "image ratelimit-module:"
docker create --label $mine --name $mine-module ratelimit-module none >/dev/null
docker cp $mine-module:/libratelimit.so "$work/" >/dev/null
expect "libratelimit.so begins with" "ELF" "$(head -c 4 "$work/libratelimit.so" | tr -d '\177')"

for server in redis valkey; do
  say "image ratelimit-$server:"
  does_not_run_as_root ratelimit-$server
  start $server -e REDIS_PASSWORD=secret -v "$mine-$server:/data" ratelimit-$server --maxmemory 50mb
  eventually 60 "$server is healthy" is_healthy $server
  say "  it is healthy"
  login=(-a secret --no-auth-warning)
  expect "the reply to RATELIMIT.CHECK k 5 60" "1 5 4 0 60000" \
    "$(send $server "${login[@]}" RATELIMIT.CHECK k 5 60)"
  expect "the option of the command line" "maxmemory 52428800" \
    "$(send $server "${login[@]}" CONFIG GET maxmemory)"
  case $(send $server PING) in NOAUTH*) ;; *) die "it does not require the password" ;; esac
  stops $server
  docker start $mine-$server >/dev/null
  eventually 60 "$server is healthy again" is_healthy $server
  expect "the count after a restart" "1" "$(send $server "${login[@]}" GET k)"
  rejects "a wrong port" 1 "port" -e REDIS_PORT=none ratelimit-$server
  rejects "a wrong option" 1 "maxmemory" ratelimit-$server --maxmemory lots
  rejects "a quote in the password" 1 "REDIS_PASSWORD must not contain" \
    -e 'REDIS_PASSWORD=a"b' ratelimit-$server
  docker rm -fv $mine-$server >/dev/null
  docker volume rm $mine-$server >/dev/null
done

say "image ratelimit-server:"
does_not_run_as_root ratelimit-server
rejects "a wrong limit" 2 "RATE_LIMIT must be an integer between" -e RATE_LIMIT=many ratelimit-server
rejects "a wrong flag" 2 "--limit" ratelimit-server --limit 5
rejects "a Redis that never starts" 1 "nowhere:6379" \
  -e REDIS_HOST=nowhere -e START_DEADLINE=2s ratelimit-server
start server -e REDIS_HOST=late ratelimit-server
eventually 30 "it logs that it waits" has_logged server "late:6379"
is_healthy server && die "it is healthy before it has started"
start late ratelimit-redis --save ""
eventually 60 "it is healthy" is_healthy server
eventually 60 "a Redis without a password is healthy" is_healthy late
say "  it waited for its Redis, and is healthy"
stops server

say "
all images are as expected:"
docker images --format '  {{.Repository}}	{{.Size}}' | grep ratelimit- >&2
