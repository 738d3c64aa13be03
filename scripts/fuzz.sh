#!/usr/bin/env bash
# Runs each fuzz target for a bounded time; ends with 1 at the first crash.
# usage: [SECONDS_EACH=60] fuzz.sh [TARGET...]
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
"$root/scripts/setup.sh" build fuzz
if [ $# = 0 ]; then read -r -d '' -a targets < <(cargo +nightly fuzz list) || true; set -- "${targets[@]}"; fi
for target in "$@"; do
  say "fuzzing $target for ${SECONDS_EACH:-60} s …"
  cargo +nightly fuzz run "$target" -- -max_total_time="${SECONDS_EACH:-60}" -print_final_stats=0
done
