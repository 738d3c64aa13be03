#!/usr/bin/env bash
# Brings docker/compose.yaml up and shows that three instances behind nginx are one limit: exactly so many pass,
# whichever instance answers, also while one of them is killed. Ends with a verdict; 0 if all was as it should be.
# usage: smoke.sh
# The images ratelimit-redis and ratelimit-server must be there (docker/test.sh builds them). What it starts is its
# own project on free ports of 127.0.0.1, and is removed at the end. NETWORK=10.203.18: the network's first bytes.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
need_engine
need_compose
have curl || die "curl is missing: apt-get install curl"
limit=300
clients=8
work=$(mktemp -d)
# As it ships, but with /v1 for everybody, who is only this script.
sed '/location ^~ \/v1\//d' "$root/docker/nginx.conf" >"$work/nginx.conf"
HTTP_PORT=$(free_port)
PROMETHEUS_PORT=$(free_port)
url=http://127.0.0.1:$HTTP_PORT
export NGINX_CONF=$work/nginx.conf HTTP_PORT PROMETHEUS_PORT NETWORK=${NETWORK:-10.203.18} RATE_LIMIT=$limit TIME_WINDOW=1h
export COMPOSE_PROJECT_NAME=ratelimit-smoke-$$

project() { compose -f "$root/docker/compose.yaml" --profile monitoring "$@"; }

# shellcheck disable=SC2317 # it is called by a trap
end() {
  local code=$?
  trap - EXIT
  if [ $code != 0 ]; then
    project ps >&2 || true
    project logs --tail=5 >&2 || true
    say "smoke: FAILED; the reason stands above"
  fi
  project down --volumes --timeout 20 >/dev/null 2>&1 || say "what $COMPOSE_PROJECT_NAME started could not all be removed"
  rm -rf "$work"
  exit $code
}
trap end EXIT
trap 'exit 1' INT TERM HUP

# Lines of it that match.
count() { grep -cE "$1" "$work/$2" || true; } # pattern, file

# So many requests, by several clients at a time; a status a line.
knock() { # how many, file, further words for curl
  local times=$1 file=$2
  shift 2
  seq "$times" | xargs -P "$clients" -I@ curl -s -o /dev/null -w '%{http_code}\n' "$@" "$url/" >"$work/$file"
}

# One write a line, so that several at a time do not mix.
check() { # key, limit, check | peek
  printf '%s\n' "$(curl -s --max-time 20 -H 'Content-Type: application/json' \
    -d "{\"key\":\"$1\",\"limit\":$2,\"window\":\"1h\"}" "$url/v1/$3")"
}
export -f check
export url

checks() { # how many, key, file
  seq "$1" | xargs -P "$clients" -I@ bash -c "check $2 $limit check" >"$work/$3"
}

# How much of the key's limit is used, by a question with a higher one.
used() { # key
  local remaining
  remaining=$(check "$1" 1000000 peek | sed -nE 's/.*"remaining":([0-9]+).*/\1/p')
  echo $((1000000 - remaining))
}

answering() { grep -oE '"instance":"[^"]*"' "$work/$1" | sort -u | cut -d'"' -f4 | paste -sd' ' -; } # file

a_quarter_is_answered() { [ "$(count . third)" -ge $((limit / 4)) ]; }

# Instances whose metrics Prometheus has, and who reach Redis.
watched() {
  curl -s "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query?query=sum(ratelimit_backend_up)" | grep -q '"3"'
}

all_answer() {
  checks 30 again again
  [ "$(answering again)" = "ratelimit-1 ratelimit-2 ratelimit-3" ]
}

say "smoke: starting Redis, three instances, nginx and Prometheus …"
project up -d --no-build nginx prometheus >"$work/up" 2>&1 || { cat "$work/up" >&2; die "compose could not start them"; }
eventually 60 "nginx answers" curl -sf -o /dev/null "$url/healthz"

say "GET / by $clients clients at a time, limit $limit:"
knock $((limit + 50)) first
expect "allowed (200)" $limit "$(count '^200$' first)"
expect "denied (429)" 50 "$(count '^429$' first)"
knock 10 forged -H "X-Forwarded-For: 203.0.113.9"
expect "denied with an address that the client made up" 10 "$(count '^429$' forged)"

say "POST /v1/check, limit $limit:"
checks $((limit + 50)) one second
expect "allowed" $limit "$(count '"allowed":true' second)"
expect "denied" 50 "$(count '"allowed":false' second)"
expect "instances that answered" "ratelimit-1 ratelimit-2 ratelimit-3" "$(answering second)"

say "the same, and ratelimit-2 is killed in the middle:"
touch "$work/third"
victim=$(project ps -q ratelimit-2)
checks $((limit + 50)) two third &
traffic=$!
eventually 60 "a quarter of the traffic" a_quarter_is_answered
docker kill "$victim" >/dev/null
answered=$(count . third)
wait $traffic
passed=$(count '"allowed":true' third)
lost=$((limit + 50 - passed - $(count '"allowed":false' third)))
say "  killed after $answered answers; lost with it, without an answer: $lost"
[ "$answered" -lt $limit ] || die "the traffic was over before the instance was"
[ "$lost" -le "$clients" ] || die "more was lost than was under way"
expect "used of the limit" $limit "$(used two)"
if [ "$passed" -gt $limit ] || [ $((passed + lost)) -lt $limit ]; then die "allowed: $passed of limit $limit"; fi
say "  allowed: $passed"
checks 30 two after
expect "instances that answer now" "ratelimit-1 ratelimit-3" "$(answering after)"
expect "denied now" 30 "$(count '"allowed":false' after)"

say "ratelimit-2 is started again:"
project start ratelimit-2 >/dev/null 2>&1
eventually 60 "all three instances answer" all_answer
say "  all three answer"

eventually 60 "Prometheus sees three instances that reach Redis" watched
say "  Prometheus sees three instances that reach Redis"

say "smoke: PASSED: limit $limit allowed $limit, over three instances, and with one of them killed"
