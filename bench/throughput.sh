#!/usr/bin/env bash
# Throughput and latency of the commands with redis-benchmark: 50 connections, pipeline 1, 16 and 64, one hot
# key and 100,000 keys.
# usage: [SERVER=path] [ROUNDS=3] throughput.sh [--record]
# Each figure is the round with the median throughput; the last column of a table compares with SET k 1 EX 60.
# Timings follow the machine and its mood; make bench-instructions does not. That each call was allowed or
# denied, as its label says, is checked. --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
# Above the 300,000 calls that one key sees; and so low that a bucket of 366 days outlives the slowest row.
n=100000 limit=400000 rounds=${ROUNDS:-3}
work=$(mktemp -d)
trap 'stop_server; rm -rf "$work"' EXIT

rows() {
  floor_rows | grep -v 'no such key'
  module_rows $limit 3600
  script_rows $limit common
  twin_rows $limit
}

burst() { # pipeline, keys, command
  local pipeline=$1 keys=$2
  shift 2
  "$benchmark_path" -p "$server_port" --csv -n $n -c 50 -P "$pipeline" -r "$keys" "$@" >"$work/csv" 2>&1 ||
    die "redis-benchmark failed: $*"
}

# Appends "keys|pipeline|label|calls per second|p50|p99" to the results.
measure() { # keys, pipeline, label, what must be true, command
  local words
  read -r -a words <<<"$5"
  verified "$3" "$4" "$5" $n burst "$2" "$1" "${words[@]}"
  tail -1 "$work/csv" | tr -d '"' | awk -F, -v OFS='|' -v row="$1|$2|$3" '{ print row, int($2), $5, $7 }' >>"$work/results"
}

one_round() {
  local keys pipeline label truth command preparation
  for keys in 1 100000; do
    while IFS='|' read -r label truth command preparation; do
      prepare_keys $keys "${preparation:-$command}"
      for pipeline in 1 16 64; do measure $keys $pipeline "$label" "$truth" "$command"; done
    done <"$work/rows"
    say "  … $keys keys done"
  done
}

# One table for each number of keys and pipeline; of the rounds, the one with the median throughput.
tables() {
  local keys pipeline
  for keys in 1 100000; do
    for pipeline in 1 16 64; do
      printf '\n%s, pipeline %s\n\n' "$([ $keys = 1 ] && echo 'One hot key' || echo '100,000 keys')" $pipeline
      echo "| $name | calls/s | p50 ms | p99 ms | of SET EX |"
      echo "| --- | ---: | ---: | ---: | ---: |"
      while IFS='|' read -r label _; do
        grep "^$keys|$pipeline|$label|" "$work/results" | sort -t'|' -k4,4n | sed -n "$(((rounds + 1) / 2))p"
      done <"$work/rows" >"$work/table"
      awk -F'|' '
        NR == FNR { if ($3 == "SET k 1 EX 60") base = $4; next }
        { printf "| %s | %d | %s | %s | %.2f |\n", $3, $4, $5, $6, $4 / base }' "$work/table" "$work/table"
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
publish "throughput-$name" "Throughput and latency on $name, medians of $rounds rounds" "make bench" <"$work/tables"
