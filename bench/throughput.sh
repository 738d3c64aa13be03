#!/usr/bin/env bash
# Measures throughput and latency of the commands with redis-benchmark: 50 connections, pipelines of
# 1, 16 and 64, one hot key and 100,000 keys.
# usage: [SERVER=path] [ROUNDS=3] throughput.sh [--record]
# Each figure comes from the round with the median throughput. The last column of a table compares
# it with SET k 1 EX 60. The script checks that each call was allowed or denied as its label says.
# Timings depend on the machine and its load; make bench-instructions does not. --record writes to
# bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
# A key gets 300,000 calls, so the limit is higher. It is low enough that the keys of a bucket, with
# a window of 366 days, live longer than the slowest row.
n=100000 limit=400000 rounds=${ROUNDS:-3}
work=$(mktemp -d)
trap 'stop_server; rm -rf "$work"' EXIT

rows() {
  floor_rows | grep -v 'no such key'
  module_rows $limit 3600
  common_script_rows $limit common
  our_script_rows $limit
}

burst() { # pipeline, keys, command
  local pipeline=$1 keys=$2
  shift 2
  "$benchmark_path" -p "$server_port" --csv -n $n -c 50 -P "$pipeline" -r "$keys" "$@" \
    >"$work/csv" 2>&1 || die "redis-benchmark failed: $*"
}

# Appends "keys|pipeline|label|calls per second|p50|p99" to the results.
measure() { # keys, pipeline, label, expectation, command
  local words
  read -r -a words <<<"$5"
  verified "$3" "$4" "$5" $n burst "$2" "$1" "${words[@]}"
  tail -1 "$work/csv" | tr -d '"' |
    awk -F, -v OFS='|' -v row="$1|$2|$3" '{ print row, int($2), $5, $7 }' >>"$work/results"
}

one_round() {
  local keys pipeline label expected command preparation
  for keys in 1 100000; do
    while IFS='|' read -r label expected command preparation; do
      prepare_keys $keys "${preparation:-$command}"
      for pipeline in 1 16 64; do measure $keys $pipeline "$label" "$expected" "$command"; done
    done <"$work/rows"
    say "  … $keys keys done"
  done
}

# Prints one table for each number of keys and each pipeline.
tables() {
  local keys pipeline
  for keys in 1 100000; do
    for pipeline in 1 16 64; do
      printf '\n%s, pipeline %s\n\n' \
        "$([ $keys = 1 ] && echo 'One hot key' || echo '100,000 keys')" $pipeline
      echo "| $name | calls/s | p50 ms | p99 ms | of SET EX |"
      echo "| --- | ---: | ---: | ---: | ---: |"
      while IFS='|' read -r label _; do
        grep "^$keys|$pipeline|$label|" "$work/results" | sort -t'|' -k4,4n |
          sed -n "$(((rounds + 1) / 2))p" # the round with the median throughput
      done <"$work/rows" >"$work/table"
      awk -F'|' '
        NR == FNR { if ($3 == "SET k 1 EX 60") base = $4; next }
        { printf "| %s | %d | %s | %s | %.2f |\n", $3, $4, $5, $6, $4 / base }
      ' "$work/table" "$work/table"
    done
  done
}

server=$("$root/scripts/servers.sh" one)
choose "$server"
start_server "$server" --loadmodule "$module"
rows >"$work/rows"
for round in $(seq "$rounds"); do
  say "round $round of $rounds on $name, about two minutes …"
  one_round
done
tables >"$work/tables"
publish "throughput-$name" "Throughput and latency on $name, medians of $rounds rounds" \
  "make bench" <"$work/tables"
