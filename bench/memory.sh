#!/usr/bin/env bash
# Measures bytes of memory per key: used_memory of 100,000 keys, compared with the same keys made by
# SET key 1 EX 60.
# usage: [SERVER=path] memory.sh [--record]
# It measures on every server that it finds, after the first call for each key and after the fifth.
# Each row starts a new server. --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
keys=100000
work=$(mktemp -d)
trap 'stop_server; rm -rf "$work"' EXIT

rows() {
  local algorithm
  echo "SET key 1 EX 60|SET key:__rand_int__ 1 EX 60"
  for algorithm in "${algorithms[@]}"; do
    echo "CHECK $algorithm|RATELIMIT.CHECK key:__rand_int__ 7 60$(options_of "$algorithm")"
  done
  echo "CHECK FIXED, two pairs|RATELIMIT.CHECK key:__rand_int__ 7 60 70 3600"
}

# Prints used_memory once it no longer changes: a hash table may still be growing.
used_memory() {
  local before='' now=0
  until [ "$before" = "$now" ]; do
    before=$now
    sleep 0.3
    now=$(cli INFO memory | tr -d '\r' | sed -n 's/^used_memory://p')
  done
  echo "$now"
}

# Sets `bytes` to the bytes per key after one call and after five calls.
bytes_per_key() { # command
  local empty one
  start_server "$server" --loadmodule "$module"
  empty=$(used_memory)
  send_for_each_key $keys "$1"
  one=$(used_memory)
  for _ in 2 3 4 5; do send_for_each_key $keys "$1"; done
  [ "$(cli DBSIZE)" = $keys ] ||
    die "$1: keys expired before they were counted; the machine is too busy"
  bytes="$(((one - empty) / keys)) $((($(used_memory) - empty) / keys))"
}

"$root/scripts/servers.sh" one >/dev/null
"$root/scripts/servers.sh" found >"$work/servers"
{ echo "| server | keys written by | bytes per key | of SET EX | after five calls | of SET EX |"
  echo "| --- | --- | ---: | ---: | ---: | ---: |"; } >"$work/table"
while read -r _ path; do
  choose "$path"
  say "measuring memory on $name …"
  while IFS='|' read -r label command; do
    bytes_per_key "$command"
    read -r one five <<<"$bytes"
    if [[ $command == SET* ]]; then base_one=$one base_five=$five; fi
    awk -v o="$one" -v f="$five" -v bo="$base_one" -v bf="$base_five" -v row="| $name | $label" \
      'BEGIN { printf "%s | %d | %.2f | %d | %.2f |\n", row, o, o / bo, f, f / bf }' >>"$work/table"
  done < <(rows)
done <"$work/servers"
publish memory "Memory per key over 100,000 keys" "make bench-memory" <"$work/table"
