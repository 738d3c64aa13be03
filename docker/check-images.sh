#!/usr/bin/env bash
# Runs each image by itself: who it runs as, its health check, what it says of wrong settings, how it waits for a
# Redis that is late, how it ends. Ends with 0 if all was as it should be.
# usage: check-images.sh
# The images ratelimit-module, ratelimit-redis, ratelimit-valkey and ratelimit-server must be there
# (docker/test.sh builds them). What it starts is removed at the end.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
need_engine
mine=ratelimit-check-$$
work=$(mktemp -d)

# shellcheck disable=SC2317 # it is called by a trap
end() {
  local code=$?
  trap - EXIT
  { docker ps -aq --filter "label=$mine" | xargs -r docker rm -fv &&
    docker volume ls -q --filter "name=$mine-" | xargs -r docker volume rm; } >/dev/null ||
    say "what $mine started could not all be removed"
  docker network rm $mine >/dev/null || say "the network $mine could not be removed"
  rm -rf "$work"
  exit $code
}
docker network create $mine >/dev/null
trap end EXIT
trap 'exit 1' INT TERM HUP

start() { # name, words for docker run
  local name=$1
  shift
  docker run -d --label $mine --name "$mine-$name" --network $mine --network-alias "$name" \
    --read-only --cap-drop ALL --security-opt no-new-privileges "$@" >/dev/null
}

state() { docker inspect -f "$2" "$mine-$1"; } # name, template
is_healthy() { [ "$(state "$1" '{{.State.Health.Status}}')" = healthy ]; }
says() { docker logs "$mine-$1" 2>&1 | grep -q "$2"; } # name, pattern

# SIGTERM, and 0 within some seconds.
stops() { # name
  local begun=$SECONDS took
  docker stop -t 30 "$mine-$1" >/dev/null
  took=$((SECONDS - begun))
  [ $took -le 10 ] || die "$1 took $took s to end"
  expect "after SIGTERM it ends within $took s with" 0 "$(state "$1" '{{.State.ExitCode}}')"
}

# It ends at once, with this code and these words.
refuses() { # what, code, words, words for docker run
  local what=$1 code=$2 words=$3 found=0
  shift 3
  timeout 20 docker run --rm --label $mine --network $mine "$@" >"$work/said" 2>&1 || found=$?
  grep -qF -- "$words" "$work/said" || { cat "$work/said" >&2; die "$what: it does not say: $words"; }
  expect "$what ends it with" "$code" "$found"
}

is_nobody() { # image
  local id
  id=$(docker run --rm --network none --entrypoint id "$1" -u)
  [ "$id" != 0 ] || die "$1 runs as root"
  say "  it runs as user $id"
}

# A server's reply, on one line.
ask() { # name, words
  local name=$1
  shift
  docker exec "$mine-$name" "$name-cli" "$@" 2>&1 | paste -sd' ' -
}

say "image ratelimit-module:"
docker create --label $mine --name $mine-module ratelimit-module none >/dev/null
docker cp $mine-module:/libratelimit.so "$work/" >/dev/null
expect "its file is a library" "ELF" "$(head -c 4 "$work/libratelimit.so" | tr -d '\177')"

for server in redis valkey; do
  say "image ratelimit-$server:"
  is_nobody ratelimit-$server
  start $server -e REDIS_PASSWORD=secret -v "$mine-$server:/data" ratelimit-$server --maxmemory 50mb
  eventually 60 "$server is healthy" is_healthy $server
  say "  it is healthy"
  expect "RATELIMIT.CHECK k 5 60 answers" "1 5 4 0 60000" "$(ask $server -a secret --no-auth-warning RATELIMIT.CHECK k 5 60)"
  expect "an option reached it" "maxmemory 52428800" "$(ask $server -a secret --no-auth-warning CONFIG GET maxmemory)"
  case $(ask $server PING) in NOAUTH*) ;; *) die "the password does not hold" ;; esac
  stops $server
  docker start $mine-$server >/dev/null
  eventually 60 "$server is healthy again" is_healthy $server
  expect "what it counted is still there" "1" "$(ask $server -a secret --no-auth-warning GET k)"
  refuses "a wrong port" 1 "port" -e REDIS_PORT=none ratelimit-$server
  refuses "a wrong option" 1 "maxmemory" ratelimit-$server --maxmemory lots
  refuses "a password that cannot be written down" 1 "REDIS_PASSWORD must not hold" -e 'REDIS_PASSWORD=a"b' ratelimit-$server
  docker rm -fv $mine-$server >/dev/null
  docker volume rm $mine-$server >/dev/null
done

say "image ratelimit-server:"
is_nobody ratelimit-server
refuses "a wrong limit" 2 "RATE_LIMIT must be an integer between" -e RATE_LIMIT=many ratelimit-server
refuses "a wrong flag" 2 "--limit" ratelimit-server --limit 5
refuses "a Redis that never comes" 1 "nowhere:6379" -e REDIS_HOST=nowhere -e START_DEADLINE=2s ratelimit-server
start server -e REDIS_HOST=late ratelimit-server
eventually 30 "it says that it waits" says server "late:6379"
is_healthy server && die "it is healthy without having started"
start late ratelimit-redis --save ""
eventually 60 "it is healthy" is_healthy server
eventually 60 "a Redis without a password is healthy" is_healthy late
say "  it waited for its Redis, and is healthy"
stops server

say "
the images are as they should be:"
docker images --format '  {{.Repository}}	{{.Size}}' | grep ratelimit- >&2
