#!/usr/bin/env bash
# Runs each fuzz target for a bounded time; exits with 1 at the first crash.
# usage: [SECONDS_EACH=60] fuzz.sh [TARGET...]
# It uses a nightly Rust if there is one. Else it uses the stable Rust: RUSTC_BOOTSTRAP=1 lets that
# accept the flags of nightly, but the address sanitizer is left out.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
"$root/scripts/setup.sh" build fuzz

if cargo +nightly --version >/dev/null 2>&1; then
  cargo_fuzz() { cargo +nightly fuzz "$@"; }
  options=()
else
  say "no nightly Rust: using the stable one with RUSTC_BOOTSTRAP=1 and without the sanitizer"
  cargo_fuzz() { RUSTC_BOOTSTRAP=1 cargo fuzz "$@"; }
  options=(--sanitizer none)
fi

targets=("$@")
if [ $# = 0 ]; then
  list=$(cargo_fuzz list) || die "cargo fuzz could not list the targets"
  read -r -d '' -a targets <<<"$list" || true # read fails at the end of its input
fi
[ ${#targets[@]} != 0 ] || die "there is no fuzz target"
for target in "${targets[@]}"; do
  say "fuzzing $target for ${SECONDS_EACH:-60} s …"
  # The fuzzer writes new inputs to the first folder and only reads the seeds in the second.
  found=fuzz/target/corpus/$target
  mkdir -p "$found"
  cargo_fuzz run ${options[@]+"${options[@]}"} "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -dict=fuzz/words.dict -print_final_stats=1
done
