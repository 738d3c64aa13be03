#!/usr/bin/env bash
# Runs each fuzz target for a bounded time; ends with 1 at the first crash.
# usage: [SECONDS_EACH=60] fuzz.sh [TARGET...]
# Runs on a nightly Rust if there is one and it can build; else on the stable one, which is told to
# take nightly's flags (RUSTC_BOOTSTRAP=1), without the address sanitizer.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
"$root/scripts/setup.sh" build fuzz

if cargo +nightly --version >/dev/null 2>&1; then
  cargo_fuzz() { cargo +nightly fuzz "$@"; }
  options=()
else
  say "no nightly Rust: fuzzing on the stable one with RUSTC_BOOTSTRAP=1, without sanitizer"
  cargo_fuzz() { RUSTC_BOOTSTRAP=1 cargo fuzz "$@"; }
  options=(--sanitizer none)
fi

targets=("$@")
if [ $# = 0 ]; then
  list=$(cargo_fuzz list) || die "cargo fuzz could not list the targets"
  read -r -d '' -a targets <<<"$list" || true # it reads to the end, which counts as a failure
fi
[ ${#targets[@]} != 0 ] || die "there is no target to fuzz"
for target in "${targets[@]}"; do
  say "fuzzing $target for ${SECONDS_EACH:-60} s …"
  # What it finds goes to the first folder; the seeds in the second stay as they are.
  mkdir -p "fuzz/target/corpus/$target"
  cargo_fuzz run ${options[@]+"${options[@]}"} "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -dict=fuzz/words.dict -print_final_stats=1
done
