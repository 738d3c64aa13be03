#!/usr/bin/env bash
# Formatting, clippy with every warning an error, the walls between the crates, and, where they are here, shellcheck
# and (with npm) the linter of the workflows.
# usage: lint.sh
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
"$root/scripts/setup.sh" build
cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features --locked --quiet -- -D warnings
"$root/scripts/walls.sh"
if have shellcheck; then shellcheck -x .ci/run scripts/*.sh scripts/*/*.sh bench/*.sh docker/*.sh docker/redis/*.sh examples/*/*.sh; fi
if have npm; then "$root/scripts/workflows/lint.sh"; fi
say "lint: nothing to say"
