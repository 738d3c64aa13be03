#!/usr/bin/env bash
# Starts docker/compose.yaml and checks that three instances behind nginx share one limit: exactly
# as many requests as the limit are allowed, even if one instance is killed. Exits with 0 if so.
# usage: smoke.sh
# It needs the images ratelimit-redis and ratelimit-server, which docker/test.sh builds. It starts a
# project of its own on free ports of 127.0.0.1, and removes it at the end. NETWORK=10.203.18 sets
# the first bytes of the network.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
need_engine
need_compose
have curl || die "curl is missing: apt-get install curl"
limit=300
clients=8
work=$(mktemp -d)
# The shipped configuration, but with /v1 open: only this script can reach it.
sed '/location ^~ \/v1\//d' "$root/docker/nginx.conf" >"$work/nginx.conf"
HTTP_PORT=$(free_port)
PROMETHEUS_PORT=$(free_port)
url=http://127.0.0.1:$HTTP_PORT
export NGINX_CONF=$work/nginx.conf HTTP_PORT PROMETHEUS_PORT NETWORK=${NETWORK:-10.203.18}
export RATE_LIMIT=$limit TIME_WINDOW=1h
export COMPOSE_PROJECT_NAME=ratelimit-smoke-$$

project() { compose -f "$root/docker/compose.yaml" --profile monitoring "$@"; }

# shellcheck disable=SC2317 # a trap calls it
end() {
  local code=$?
  trap - EXIT
  if [ $code != 0 ]; then
    project ps >&2 || true
    project logs --tail=5 >&2 || true
    say "smoke: FAILED; the reason stands above"
  fi
  project down --volumes --timeout 20 >/dev/null 2>&1 ||
    say "not everything that $COMPOSE_PROJECT_NAME started could be removed"
  rm -rf "$work"
  exit $code
}
trap end EXIT
trap 'exit 1' INT TERM HUP

# Counts the lines that match.
count() { grep -cE "$1" "$work/$2" || true; } # pattern, file

# Sends requests of several clients at a time, and writes the status of each as a line.
send_requests() { # how many, file, option of curl…
  local times=$1 file=$2
  shift 2
  seq "$times" |
    xargs -P "$clients" -I@ curl -s -o /dev/null -w '%{http_code}\n' "$@" "$url/" >"$work/$file"
}

# Writes each reply as one line by one printf, so that the lines of several clients do not mix.
check() { # key, limit, check | peek
  printf '%s\n' "$(curl -s --max-time 20 -H 'Content-Type: application/json' \
    -d "{\"key\":\"$1\",\"limit\":$2,\"window\":\"1h\"}" "$url/v1/$3")"
}
export -f check
export url

checks() { # how many, key, file
  seq "$1" | xargs -P "$clients" -I@ bash -c "check $2 $limit check" >"$work/$3"
}

# Prints how much of the key's limit is used: it peeks with a higher limit.
used() { # key
  local remaining
  remaining=$(check "$1" 1000000 peek | sed -nE 's/.*"remaining":([0-9]+).*/\1/p')
  echo $((1000000 - remaining))
}

instances_in() { # file
  grep -oE '"instance":"[^"]*"' "$work/$1" | sort -u | cut -d'"' -f4 | paste -sd' ' -
}

a_quarter_is_answered() { [ "$(count . third)" -ge $((limit / 4)) ]; }

# Whether Prometheus knows three instances that reach Redis.
prometheus_sees_three() {
  local query='query=sum(ratelimit_backend_up)'
  curl -s "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query?$query" | grep -q '"3"'
}

all_answer() {
  checks 30 again again
  [ "$(instances_in again)" = "ratelimit-1 ratelimit-2 ratelimit-3" ]
}

say "smoke: starting Redis, three instances, nginx and Prometheus …"
project up -d --no-build nginx prometheus >"$work/up" 2>&1 ||
  { cat "$work/up" >&2; die "compose could not start them"; }
eventually 60 "nginx answers" curl -sf -o /dev/null "$url/healthz"

say "GET / by $clients clients at a time, limit $limit:"
send_requests $((limit + 50)) first
expect "allowed (200)" $limit "$(count '^200$' first)"
expect "denied (429)" 50 "$(count '^429$' first)"
send_requests 10 forged -H "X-Forwarded-For: 203.0.113.9"
expect "denied with a false address in X-Forwarded-For" 10 "$(count '^429$' forged)"

say "POST /v1/check, limit $limit:"
checks $((limit + 50)) one second
expect "allowed" $limit "$(count '"allowed":true' second)"
expect "denied" 50 "$(count '"allowed":false' second)"
expect "instances that answered" "ratelimit-1 ratelimit-2 ratelimit-3" "$(instances_in second)"

say "the same, while ratelimit-2 is killed:"
touch "$work/third"
victim=$(project ps -q ratelimit-2)
checks $((limit + 50)) two third &
traffic=$!
eventually 60 "a quarter of the traffic" a_quarter_is_answered
docker kill "$victim" >/dev/null
answered=$(count . third)
wait $traffic
allowed=$(count '"allowed":true' third)
lost=$((limit + 50 - allowed - $(count '"allowed":false' third)))
say "  killed after $answered replies; requests without a reply: $lost"
[ "$answered" -lt $limit ] || die "the requests ended before the instance was killed"
[ "$lost" -le "$clients" ] || die "more requests were lost than clients can send at a time"
expect "used of the limit" $limit "$(used two)"
if [ "$allowed" -gt $limit ] || [ $((allowed + lost)) -lt $limit ]; then
  die "allowed: $allowed of limit $limit"
fi
say "  allowed: $allowed"
checks 30 two after
expect "instances that answer now" "ratelimit-1 ratelimit-3" "$(instances_in after)"
expect "denied now" 30 "$(count '"allowed":false' after)"

say "ratelimit-2 is started again:"
project start ratelimit-2 >/dev/null 2>&1
eventually 60 "all three instances answer" all_answer
say "  all three answer"

eventually 60 "Prometheus sees three instances that reach Redis" prometheus_sees_three
say "  Prometheus sees three instances that reach Redis"

say "smoke: PASSED: three instances allowed $limit with limit $limit, also with one of them killed"
