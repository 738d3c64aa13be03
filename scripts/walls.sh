#!/usr/bin/env bash
# Checks which crate depends on which: the core on nothing, the module only on the core, the client
# only on the core, the service only on the client.
# Inside the module: ffi imports nothing above it.
# usage: walls.sh
# Time budget: 5 seconds.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
broken=0

# Prints the direct dependencies of a crate with all its features, without those of its tests.
direct() { # crate
  cargo tree --locked --package "$1" --all-features --edges normal,build --depth 1 --prefix none |
    sed 1d | cut -d' ' -f1
}

wall() { # crate, reason, crates it must not depend on (an extended regular expression)
  local all forbidden
  all=$(direct "$1")
  forbidden=$(grep -Ex "$3" <<<"$all" || true)
  if [ -n "$forbidden" ]; then
    say "$1 depends on ${forbidden//$'\n'/, }: $2"
    broken=1
  fi
}

wall ratelimit-core "the decision is pure and has no dependency" '.*'
wall ratelimit "the module needs only the core" 'ratelimit-(client|server)'
wall ratelimit-client "a client must not need the module or the service" \
  'ratelimit|redis-module|ratelimit-server'
wall ratelimit-server "the service uses nothing but the public API of the client" \
  'ratelimit|redis|redis-module|ratelimit-core'
direct ratelimit | grep -qx ratelimit-core ||
  { say "the module does not depend on ratelimit-core"; broken=1; }

# Inside the module. Both searches print what they find.
if grep -rn unwrap_unchecked src/; then
  say "an old server may lack that function: give it a row in src/ffi/api.rs, which load checks"
  broken=1
fi
if grep -rnE 'crate::|super::super' src/ffi/ | grep -vE 'crate::(counters|error)\b'; then
  say "src/ffi/ imports only counters.rs and error.rs"
  broken=1
fi
exit $broken
