#!/usr/bin/env bash
# Counts the instructions a server spends on one command, with callgrind: repeatable to about 0.1 %, whatever
# else the machine does.
# usage: [SERVER=path] [MODULE=path] [ROWS=regex] instructions.sh [--record]
# Counted is what the server's function readQueryFromClient includes: reading the words, running the command and
# writing the reply into the client's buffer. The server's periodic work and the sending of replies are left out,
# because a busy machine makes more of them. For a comparison, MODULE names another build of the module, and ROWS
# the rows to count: ROWS='^(CHECK|PEEK)'.
# Each command is sent 20,000 times over 700 keys by one connection, 50 in flight, after as many to warm up.
# That each call was allowed or denied, as its label says, is checked. --record writes to bench/record/.
# 700 keys fill the server's tables to two thirds, about the mean of a table that is doubled when it is full; full
# tables make look-ups longer.
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
  further_rows $limit
  script_rows $limit common gcra sliding_log
  twin_rows $limit
}

burst() { # command
  "$benchmark_path" -p "$server_port" -q -n $n -c 1 -P 50 -r $keys "$@" >/dev/null 2>&1 || die "redis-benchmark failed: $*"
}

counted_burst() { # command
  callgrind_control -z "$server_pid" >/dev/null 2>&1
  burst "$@"
  callgrind_control -d "$server_pid" >/dev/null 2>&1
}

instructions() { # label, what must be true, command
  local words
  read -r -a words <<<"$3"
  rm -f "$work"/callgrind.*
  burst "${words[@]}" # every key exists, every path is warm
  verified "$1" "$2" "$3" $n counted_burst "${words[@]}"
  awk -v n=$n '/^(totals|summary):/ { total = $2 } END { printf "%d", total / n }' "$work"/callgrind.*
}

server=$("$root/scripts/servers.sh" one)
choose "$server"
say "starting $name under callgrind …"
start_server valgrind --tool=callgrind --toggle-collect='readQueryFromClient*' \
  --callgrind-out-file="$work/callgrind.%p" "$server" --loadmodule "$module"
rows | grep -E -- "${ROWS:-}" >"$work/rows" || die "no row is named like ROWS=$ROWS"
{ echo "| $name | instructions |"; echo "| --- | ---: |"; } >"$work/table"
while IFS='|' read -r label truth command preparation; do
  prepare_keys $keys "${preparation:-$command}"
  count=$(instructions "$label" "$truth" "$command")
  [ "$count" -gt 0 ] || die "nothing was counted: $name has no symbol readQueryFromClient"
  say "$label: $count"
  echo "| $label | $count |" >>"$work/table"
done <"$work/rows"
publish "instructions-$name" "Instructions per command on $name" "make bench-instructions" <"$work/table"
