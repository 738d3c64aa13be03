#!/usr/bin/env bash
# Counts with callgrind the instructions that a server spends on one command. The counts repeat to
# about 0.1 %, even on a busy machine.
# usage: [SERVER=path] [MODULE=path] [ROWS=regex] instructions.sh [--record]
# It counts the server's function readQueryFromClient with all that it calls: reading the words,
# running the command and writing the reply into the client's buffer. It leaves out the server's
# periodic work and the sending of replies, because a busy machine makes more of them. For a
# comparison, MODULE names another build of the module, and ROWS selects rows: ROWS='^(CHECK|PEEK)'.
# One connection with 50 commands in flight sends each command 20,000 times over 700 keys, after as
# many to warm up. The script checks that each call was allowed or denied as its label says.
# 700 keys fill the server's hash tables to two thirds, which is about the mean of a table that
# doubles when it is full. A fuller table makes look-ups longer. --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
"$root/scripts/setup.sh" valgrind
n=20000 keys=700 limit=100000
work=$(mktemp -d)
trap 'stop_server; rm -rf "$work"' EXIT

rows() {
  floor_rows
  module_rows $limit 60
  peek_rows $limit 60
  previous_window_rows $limit
  two_pairs_rows $limit
  common_script_rows $limit common gcra sliding_log
  our_script_rows $limit
}

burst() { # command
  "$benchmark_path" -p "$server_port" -q -n $n -c 1 -P 50 -r $keys "$@" >/dev/null 2>&1 ||
    die "redis-benchmark failed: $*"
}

counted_burst() { # command
  callgrind_control -z "$server_pid" >/dev/null 2>&1
  burst "$@"
  callgrind_control -d "$server_pid" >/dev/null 2>&1
}

instructions() { # label, expectation, command
  local words
  read -r -a words <<<"$3"
  rm -f "$work"/callgrind.*
  burst "${words[@]}" # every key exists, every path is warm
  verified "$1" "$2" "$3" $n counted_burst "${words[@]}"
  awk -v n=$n '/^(totals|summary):/ { total = $2 } END { printf "%d", total / n }' \
    "$work"/callgrind.*
}

server=$("$root/scripts/servers.sh" one)
choose "$server"
say "starting $name under callgrind …"
start_server valgrind --tool=callgrind --toggle-collect='readQueryFromClient*' \
  --callgrind-out-file="$work/callgrind.%p" "$server" --loadmodule "$module"
rows | grep -E -- "${ROWS:-}" >"$work/rows" || die "no label matches ROWS=$ROWS"
{ echo "| $name | instructions |"; echo "| --- | ---: |"; } >"$work/table"
while IFS='|' read -r label expected command preparation; do
  prepare_keys $keys "${preparation:-$command}"
  count=$(instructions "$label" "$expected" "$command")
  [ "$count" -gt 0 ] || die "nothing was counted: $name has no symbol readQueryFromClient"
  say "$label: $count"
  echo "| $label | $count |" >>"$work/table"
done <"$work/rows"
publish "instructions-$name" "Instructions per command on $name" \
  "make bench-instructions" <"$work/table"
