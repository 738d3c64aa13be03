#!/usr/bin/env bash
# Requests per second and latency of `GET /`, allowed and denied, by wrk with 50 connections: ratelimit-server
# beside the same thing built with Express and node-redis on the common script (bench/express/), on one Redis;
# and where the processor's time goes: Redis, HTTP, and what the service does between them.
# usage: [SERVER=path] [ROUNDS=5] [SECONDS_EACH=4] http.sh [--record]
# The rows take turns in each round. A figure is the round with the median throughput, a ratio the median of the
# ratios within a round: timings follow the machine and its mood. That each request was allowed or denied as its
# label says, and that Redis was asked, is checked. --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
"$root/scripts/setup.sh" wrk node
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-4}
work=$(mktemp -d)
ticks=$(getconf CLK_TCK)
[ -r /proc/self/stat ] || die "the processor's time is read in /proc, which is not here"

end() {
  local file pid
  for file in "$work"/*.pid; do
    if [ -e "$file" ]; then
      pid=$(cat "$file")
      kill "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
    fi
  done
  stop_server
  rm -rf "$work"
}
trap end EXIT

# label | instance | path | what wrk must be answered | whether Redis is asked
rows() {
  cat <<'END'
Express, allowed|express-allowed|/|allowed|asks
ours, allowed|ours-allowed|/|allowed|asks
Express, denied|express-denied|/|denied|asks
ours, denied, REMEMBER_DENIALS=0|ours-asking|/|denied|asks
ours, denied, REMEMBER_DENIALS=1s|ours-denied|/|denied|
ours, without a check (/healthz)|ours-allowed|/healthz|allowed|
END
}

install_express() {
  express=$(target_dir)/express
  npm_install "$root/bench/express" "$express"
  cp "$root/bench/express/app.js" "$express/" # Node looks for a package beside the file that imports it
}

# Starts one that listens on a port of its own.
instance() { # name, limit, program with its settings
  local port deadline=$((SECONDS + 60))
  port=$(free_port)
  echo "$port" >"$work/$1.port"
  env PORT="$port" REDIS_PORT="$server_port" KEY_PREFIX="$1:" RATE_LIMIT="$2" TIME_WINDOW=86400 "${@:3}" >"$work/$1.log" 2>&1 &
  echo $! >"$work/$1.pid"
  until listening "$port"; do
    if ! kill -0 "$(cat "$work/$1.pid")" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      cat "$work/$1.log" >&2
      die "$1 did not start"
    fi
    sleep 0.1
  done
}

# A deadline that a loaded machine keeps, so that it is always Redis that decides.
start_all() {
  local most=1000000000000 app=(NODE_ENV=production SCRIPT="$root/bench/scripts/common.lua" node "$express/app.js")
  local ours=(REDIS_DEADLINE=20s LOG_LEVEL=warn "$(target_dir)/release/ratelimit-server")
  instance express-allowed $most "${app[@]}"
  instance express-denied 1 "${app[@]}"
  instance ours-allowed $most "${ours[@]}"
  instance ours-asking 1 REMEMBER_DENIALS=0 "${ours[@]}"
  instance ours-denied 1 REMEMBER_DENIALS=1s "${ours[@]}"
}

cpu() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; } # pid → ticks
processed() { cli INFO stats | tr -d '\r' | sed -n 's/^total_commands_processed://p'; }

load() { # seconds, instance, path
  wrk -t1 -c50 -d"$1s" --timeout 20s --latency "http://127.0.0.1:$(cat "$work/$2.port")$3" >"$work/wrk" || die "wrk failed on $2"
}

# Sets: requests, not2xx, and "requests a second|p50 ms|p99 ms".
read_wrk() {
  ! grep -q 'Socket errors' "$work/wrk" || die "connections broke: $(grep 'Socket errors' "$work/wrk")"
  read -r requests not2xx figures < <(awk '
    function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }
    $1 == "50%" { p50 = ms($2) } $1 == "99%" { p99 = ms($2) }
    / requests in / { n = $1 } /^Requests\/sec/ { rate = $2 } /Non-2xx/ { bad = $NF }
    END { printf "%d %d %d|%.2f|%.2f\n", n, bad, rate, p50, p99 }' "$work/wrk")
}

# Appends "round|label|requests a second|p50|p99|the instance's µs a request|Redis' µs a request".
measure() { # round, label, instance, path, what is answered, whether Redis is asked
  local pid own redis asked
  pid=$(cat "$work/$3.pid")
  own=$(cpu "$pid") redis=$(cpu "$server_pid") asked=$(processed)
  load "$seconds" "$3" "$4"
  own=$(($(cpu "$pid") - own)) redis=$(($(cpu "$server_pid") - redis)) asked=$(($(processed) - asked))
  read_wrk
  case $5 in
    allowed) [ "$not2xx" = 0 ] || die "$2: $not2xx of $requests were not allowed" ;;
    denied) [ "$not2xx" = "$requests" ] || die "$2: only $not2xx of $requests were denied" ;;
  esac
  if [ -n "$6" ]; then [ $asked -ge "$requests" ] || die "$2: Redis was asked only $asked times for $requests"
  else [ $asked -lt $((requests / 10)) ] || die "$2: Redis was asked $asked times"; fi
  awk -v OFS='|' -v a="$1|$2|$figures" -v own=$own -v redis=$redis -v n="$requests" -v tick="$ticks" \
    'BEGIN { us = 1e6 / tick / n; print a, own * us, redis * us }' >>"$work/results"
}

warm_up() {
  local label name path rest
  while IFS='|' read -r label name path rest; do load 2 "$name" "$path"; done < <(rows)
}

one_round() { # number
  local label name path answer asks
  while IFS='|' read -r label name path answer asks; do
    measure "$1" "$label" "$name" "$path" "$answer" "$asks"
  done < <(rows)
}

# Of the rounds, the one with the median throughput.
median() { grep -F "|$1|" "$work/results" | sort -t'|' -k3,3n | sed -n "$(((rounds + 1) / 2))p"; } # label

# The median over the rounds of one row's throughput by another's.
ratio() { # label, label below the line
  awk -F'|' -v a="$1" -v b="$2" '$2 == a { x[$1] = $3 } $2 == b { y[$1] = $3 } END { for (i in x) print x[i] / y[i] }' \
    "$work/results" | sort -n | sed -n "$(((rounds + 1) / 2))p"
}

table() {
  local label rest
  echo "| \`GET /\` | requests/s | p50 ms | p99 ms | CPU of the instance, µs/request | CPU of Redis, µs/request |"
  echo "| --- | ---: | ---: | ---: | ---: | ---: |"
  while IFS='|' read -r label rest; do
    median "$label" | awk -F'|' '{ printf "| %s | %d | %s | %s | %.1f | %.1f |\n", $2, $3, $4, $5, $6, $7 }'
  done < <(rows)
}

field() { median "$1" | cut -d'|' -f"$2"; } # label, number

compared() { # ours, Express
  printf '| %s | %.1f | %s | %s |\n' "$1" "$(ratio "$1" "$2")" "$(field "$1" 5)" "$(field "$2" 4)"
}

comparison() {
  local rate
  echo "| | times Express | its p99 ms | Express's p50 ms |"
  echo "| --- | ---: | ---: | ---: |"
  compared "ours, allowed" "Express, allowed"
  compared "ours, denied, REMEMBER_DENIALS=0" "Express, denied"
  compared "ours, denied, REMEMBER_DENIALS=1s" "Express, denied"
  rate=$(field "Express, allowed" 3)
  if [ "$rate" -lt 5000 ]; then
    printf '\nExpress below 5,000/s: the machine was busy, or something slowed Express down. Nothing follows from this run.\n'
  fi
}

# What a request of /healthz costs is HTTP's; what `GET /` costs above it is the check's.
shares() {
  median "ours, allowed" | awk -F'|' -v http="$(field 'ours, without a check (/healthz)' 6)" '{
    all = $6 + $7
    printf "Of the %.1f us of processor time that an allowed request costs the service and Redis, Redis takes %.0f %%, HTTP (as /healthz shows) %.0f %%, the check in the service %.0f %%.\n",
      all, 100 * $7 / all, 100 * http / all, 100 * ($6 - http) / all }'
}

say "building the service …"
(cd "$root" && cargo build --release --locked --quiet -p ratelimit-server)
install_express
server=$("$root/scripts/servers.sh" one)
choose "$server"
start_server "$server" --loadmodule "$module"
start_all
say "warming up …"
warm_up
for round in $(seq "$rounds"); do
  say "round $round of $rounds on $name …"
  one_round "$round"
done
{ table; echo; comparison; echo; shares; } >"$work/tables"
publish "http-$name" "The service over HTTP beside Express on $name, medians of $rounds rounds of $seconds s" "make bench-http" <"$work/tables"
