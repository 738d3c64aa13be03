#!/usr/bin/env bash
# Measures requests per second and latency of `GET /`, allowed and denied, by wrk with 50
# connections. It compares ratelimit-server with a program of Express and node-redis that uses the
# common script (bench/express/), both on one Redis. It also shows where the processor's time goes:
# to Redis, to HTTP, and to the check in the service.
# usage: [SERVER=path] [ROUNDS=5] [SECONDS_EACH=4] http.sh [--record]
# The rows take turns in each round, because timings depend on the machine and its load. A figure
# comes from the round with the median throughput; a ratio is the median of the ratios of all
# rounds. The script checks that each request was allowed or denied as its label says, and whether
# Redis was called.
# --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
"$root/scripts/setup.sh" wrk node
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-4}
work=$(mktemp -d)
ticks=$(getconf CLK_TCK)
[ -r /proc/self/stat ] || die "there is no /proc, which has the processor's time of a program"

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

# label | instance | path | expected decision | "calls" if each request calls Redis
rows() {
  cat <<'END'
Express, allowed|express-allowed|/|allowed|calls
ours, allowed|ours-allowed|/|allowed|calls
Express, denied|express-denied|/|denied|calls
ours, denied, REMEMBER_DENIALS=0|ours-forgetful|/|denied|calls
ours, denied, REMEMBER_DENIALS=1s|ours-denied|/|denied|
ours, without a check (/healthz)|ours-allowed|/healthz|allowed|
END
}

install_express() {
  express=$(target_dir)/express
  npm_install "$root/bench/express" "$express"
  # Node looks for a package beside the file that imports it.
  cp "$root/bench/express/app.js" "$express/"
}

# Starts a program that listens on a port of its own.
start_instance() { # name, limit, program with its settings
  local port deadline=$((SECONDS + 60))
  port=$(free_port)
  echo "$port" >"$work/$1.port"
  env PORT="$port" REDIS_PORT="$server_port" KEY_PREFIX="$1:" RATE_LIMIT="$2" TIME_WINDOW=86400 \
    "${@:3}" >"$work/$1.log" 2>&1 &
  echo $! >"$work/$1.pid"
  until listening "$port"; do
    if ! kill -0 "$(cat "$work/$1.pid")" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      cat "$work/$1.log" >&2
      die "$1 did not start"
    fi
    sleep 0.1
  done
}

# REDIS_DEADLINE is so long that Redis decides even on a busy machine.
start_all() {
  local max=1000000000000 script=$root/bench/scripts/common.lua
  local app=(NODE_ENV=production SCRIPT="$script" node "$express/app.js")
  local ours=(REDIS_DEADLINE=20s LOG_LEVEL=warn "$(target_dir)/release/ratelimit-server")
  start_instance express-allowed $max "${app[@]}"
  start_instance express-denied 1 "${app[@]}"
  start_instance ours-allowed $max "${ours[@]}"
  start_instance ours-forgetful 1 REMEMBER_DENIALS=0 "${ours[@]}"
  start_instance ours-denied 1 REMEMBER_DENIALS=1s "${ours[@]}"
}

cpu() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; } # pid → ticks
processed() { cli INFO stats | tr -d '\r' | sed -n 's/^total_commands_processed://p'; }

load() { # seconds, instance, path
  local url
  url=http://127.0.0.1:$(cat "$work/$2.port")$3
  wrk -t1 -c50 -d"$1s" --timeout 20s --latency "$url" >"$work/wrk" || die "wrk failed on $2"
}

# Sets: requests, not2xx, and "requests a second|p50 ms|p99 ms".
read_wrk() {
  ! grep 'Socket errors' "$work/wrk" >&2 || die "wrk had errors on its connections"
  read -r requests not2xx figures < <(awk '
    function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }
    $1 == "50%" { p50 = ms($2) } $1 == "99%" { p99 = ms($2) }
    / requests in / { n = $1 } /^Requests\/sec/ { rate = $2 } /Non-2xx/ { bad = $NF }
    END { printf "%d %d %d|%.2f|%.2f\n", n, bad, rate, p50, p99 }' "$work/wrk")
}

# Appends "round|label|requests a second|p50|p99|µs of the instance a request|µs of Redis a
# request".
measure() { # round, label, instance, path, expected decision, "calls" or nothing
  local pid own redis called
  pid=$(cat "$work/$3.pid")
  own=$(cpu "$pid") redis=$(cpu "$server_pid") called=$(processed)
  load "$seconds" "$3" "$4"
  own=$(($(cpu "$pid") - own)) redis=$(($(cpu "$server_pid") - redis))
  called=$(($(processed) - called))
  read_wrk
  case $5 in
    allowed) [ "$not2xx" = 0 ] || die "$2: $not2xx of $requests were not allowed" ;;
    denied) [ "$not2xx" = "$requests" ] || die "$2: only $not2xx of $requests were denied" ;;
  esac
  case $6 in
    calls) [ $called -ge "$requests" ] || die "$2: $requests requests called Redis $called times" ;;
    *) [ $called -lt $((requests / 10)) ] || die "$2: the requests called Redis $called times" ;;
  esac
  awk -v OFS='|' -v a="$1|$2|$figures" -v own=$own -v redis=$redis -v n="$requests" \
    -v tick="$ticks" 'BEGIN { us = 1e6 / tick / n; print a, own * us, redis * us }' >>"$work/results"
}

warm_up() {
  local label name path rest
  while IFS='|' read -r label name path rest; do load 2 "$name" "$path"; done < <(rows)
}

one_round() { # number
  local label name path expected calls
  while IFS='|' read -r label name path expected calls; do
    measure "$1" "$label" "$name" "$path" "$expected" "$calls"
  done < <(rows)
}

# Prints the result of the round with the median throughput.
median() { # label
  grep -F "|$1|" "$work/results" | sort -t'|' -k3,3n | sed -n "$(((rounds + 1) / 2))p"
}

# Divides the throughput of one row by that of another in each round, and prints the median.
ratio() { # label, label to divide by
  awk -F'|' -v a="$1" -v b="$2" '
    $2 == a { x[$1] = $3 }
    $2 == b { y[$1] = $3 }
    END { for (i in x) print x[i] / y[i] }' "$work/results" |
    sort -n | sed -n "$(((rounds + 1) / 2))p"
}

table() {
  local label rest
  printf '| \x60GET /\x60 | requests/s | p50 ms | p99 ms ' # \x60 is a backtick
  printf '| CPU of the instance, µs/request | CPU of Redis, µs/request |\n'
  echo "| --- | ---: | ---: | ---: | ---: | ---: |"
  while IFS='|' read -r label rest; do
    median "$label" |
      awk -F'|' '{ printf "| %s | %d | %s | %s | %.1f | %.1f |\n", $2, $3, $4, $5, $6, $7 }'
  done < <(rows)
}

field() { median "$1" | cut -d'|' -f"$2"; } # label, number

comparison_row() { # ours, Express
  printf '| %s | %.1f | %s | %s |\n' "$1" "$(ratio "$1" "$2")" "$(field "$1" 5)" "$(field "$2" 4)"
}

comparison() {
  local rate
  echo "| | times Express | its p99 ms | Express's p50 ms |"
  echo "| --- | ---: | ---: | ---: |"
  comparison_row "ours, allowed" "Express, allowed"
  comparison_row "ours, denied, REMEMBER_DENIALS=0" "Express, denied"
  comparison_row "ours, denied, REMEMBER_DENIALS=1s" "Express, denied"
  rate=$(field "Express, allowed" 3)
  if [ "$rate" -lt 5000 ]; then
    printf '\nExpress answered fewer than 5,000 requests/s: the machine was busy, or something '
    printf 'slowed Express down. This run shows nothing.\n'
  fi
}

# The cost of a request of /healthz is the cost of HTTP. The rest of the cost of `GET /` is the
# check.
shares() {
  median "ours, allowed" | awk -F'|' -v http="$(field 'ours, without a check (/healthz)' 6)" '{
    all = $6 + $7
    printf "An allowed request costs the service and Redis %.1f us of processor time. ", all
    printf "Redis takes %.0f %% of it, ", 100 * $7 / all
    printf "HTTP (as /healthz shows) %.0f %%, ", 100 * http / all
    printf "the check in the service %.0f %%.\n", 100 * ($6 - http) / all }'
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
publish "http-$name" \
  "The service over HTTP beside Express on $name, medians of $rounds rounds of $seconds s" \
  "make bench-http" <"$work/tables"
