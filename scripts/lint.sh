#!/usr/bin/env bash
# Checks everything that needs no server. Every warning is an error.
# usage: lint.sh
# After each check stands its time budget on two cores with warm dependencies. The checks of
# `make test` are walls.sh and versions.sh; the others run only here.
# Where shellcheck, npm or cargo-deny is missing, lint.sh says so and goes on: CI has all three.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
"$root/scripts/setup.sh" build lint pip

check_shell() {
  shellcheck -x .ci/run scripts/*.sh scripts/*/*.sh bench/*.sh docker/*.sh docker/redis/*.sh \
    examples/*/*.sh
}

check_spelling() {
  local codespell
  codespell=$(target_dir)/codespell
  pip_install "$root/scripts/spelling/requirements.txt" "$codespell"
  PYTHONPATH=$codespell python3 -m codespell_lib
}

# The links of the documentation, and that every public item that must have some has it.
check_rustdoc() {
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked --quiet
}

if_there() { # tool, what runs it…
  if have "$1"; then "${@:2}"; else say "lint: $1 is missing, so its check is left out"; fi
}

cargo fmt --all --check # 5 s
"$root/scripts/walls.sh" # 5 s
"$root/scripts/versions.sh" # 5 s
check_spelling # 10 s
if_there shellcheck check_shell # 30 s
if_there npm "$root/scripts/workflows/lint.sh" # 10 s
if_there cargo-deny cargo deny --workspace --all-features --locked check licenses bans sources # 10 s
cargo clippy --workspace --all-targets --all-features --locked --quiet -- -D warnings # 2 min
check_rustdoc # 1 min
say "lint: no problem found"
