#!/usr/bin/env bash
# Runs every test, on real servers.
# usage: test.sh [matrix]
# It uses the servers that it finds on this machine, and installs Redis if there is none. With
# "matrix" it downloads all servers of the matrix first. SERVER=path: only this server.
# Time budget: ten minutes on two cores, builds aside.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"

"$root/scripts/setup.sh" build redis-tools nginx proxies prometheus chromium node
if [ "${1-}" = matrix ]; then
  "$root/scripts/setup.sh" faketime
  RATELIMIT_SERVERS=$("$root/scripts/servers.sh" matrix)
else
  "$root/scripts/servers.sh" one >/dev/null
  RATELIMIT_SERVERS=$("$root/scripts/servers.sh" found)
fi
names=$(cut -d' ' -f1 <<<"$RATELIMIT_SERVERS" | paste -sd' ' -)
say "testing on $names"

build_module
say "building the module with its test hooks …"
cargo build --release --locked --quiet --features test-hooks --target-dir "$(target_dir)/test-hooks"
"$root/scripts/walls.sh"
"$root/scripts/versions.sh"
"$root/scripts/kubernetes/validate.sh"
"$root/scripts/release/package-crates.sh"

export RATELIMIT_SERVERS
RATELIMIT_MODULE=$(module_in "$(target_dir)")
RATELIMIT_TEST_MODULE=$(module_in "$(target_dir)/test-hooks")
RATELIMIT_FAKETIME=$(faketime_library || true)
RATELIMIT_KUBERNETES=$(target_dir)/kubernetes
npm_install "$root/scripts/axe" "$(target_dir)/axe"
RATELIMIT_AXE=$(target_dir)/axe/node_modules/axe-core/axe.min.js
RATELIMIT_PROXIES=$(proxies_dir)
export RATELIMIT_MODULE RATELIMIT_TEST_MODULE RATELIMIT_FAKETIME RATELIMIT_KUBERNETES
export RATELIMIT_AXE RATELIMIT_PROXIES

say "testing (cargo test) …"
if cargo test --workspace --all-features --locked --no-fail-fast; then
  say "
all tests passed on $names in $SECONDS s"
else
  say "
TESTS FAILED on $names after $SECONDS s; the failures stand above"
  exit 1
fi
