#!/usr/bin/env bash
# Checks who may depend on whom among the crates: the core on nothing, the module on the core alone,
# the client on neither, the server on the client alone. And inside the module: ffi on nothing above it.
# usage: walls.sh
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
broken=0

# The crates that one depends on by itself, tests aside, with every feature.
direct() { # crate
  cargo tree --locked --package "$1" --all-features --edges normal,build --depth 1 --prefix none | sed 1d | cut -d' ' -f1
}

wall() { # crate, why, crates it must not depend on (an extended regular expression)
  local all through
  all=$(direct "$1")
  through=$(grep -Ex "$3" <<<"$all" || true)
  if [ -n "$through" ]; then
    say "$1 depends on ${through//$'\n'/, }: $2"
    broken=1
  fi
}

wall ratelimit-core "the decision is pure and has no dependency" '.*'
wall ratelimit "the module needs the core alone" 'ratelimit-(client|server)'
wall ratelimit-client "a client must not pull in the module's world" 'ratelimit|redis-module|ratelimit-server'
wall ratelimit-server "the service uses the client's public API alone" 'ratelimit|redis|redis-module|ratelimit-core'
direct ratelimit | grep -qx ratelimit-core || { say "the module does not depend on ratelimit-core"; broken=1; }

# Inside the module. Both searches print what they find.
if grep -rn unwrap_unchecked src/; then
  say "an old server may lack that function: give it a row in src/ffi/api.rs, which load checks"
  broken=1
fi
if grep -rnE 'crate::|super::super' src/ffi/ | grep -vE 'crate::(counters|error)\b'; then
  say "src/ffi/ imports counters.rs and error.rs alone"
  broken=1
fi
exit $broken
