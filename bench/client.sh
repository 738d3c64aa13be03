#!/usr/bin/env bash
# Measures checks per second and latency of the Rust client over one multiplexed connection, by 1,
# 64 and 512 callers: the module and the script through ratelimit-client, compared with the common
# script on the bare connection; then a flood of which 99 % is denied, with and without the memory
# of denials.
# usage: [SERVER=path] [ROUNDS=3] [CHECKS=50000] client.sh [--record]
# A row sends CHECKS checks in a round; a single caller sends a fifth of them. The rows take turns,
# and each figure comes from the round with the median throughput. The benchmark checks that each
# call was allowed or denied as its label says. --record writes to bench/record/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
prepare "$@"
rounds=${ROUNDS:-3} checks=${CHECKS:-50000}
tables=$(mktemp)
trap 'stop_server; rm -f "$tables"' EXIT

say "building the benchmark …"
bench=(cargo bench --manifest-path "$root/Cargo.toml" --locked --quiet
  -p ratelimit-client --bench client)
"${bench[@]}" --no-run
server=$("$root/scripts/servers.sh" one)
choose "$server"
start_server "$server" --loadmodule "$module"
say "measuring the client on $name, $checks checks a row …"
timeout 3600 "${bench[@]}" -- "redis://127.0.0.1:$server_port" \
  "$root/bench/scripts/common.lua" "$rounds" "$checks" >"$tables" || die "the benchmark failed"
publish "client-$name" "The Rust client on $name, medians of $rounds rounds of $checks checks" \
  "make bench-client" <"$tables"
