#!/usr/bin/env bash
# Checks the oldest Rust that Cargo.toml promises (rust-version): every crate of the workspace
# promises the same, no crate in Cargo.lock needs a later one, and the documents name it.
# usage: msrv.sh
# The CI builds with that version. This check needs no other toolchain: it reads what each crate
# says of itself, and clippy (incompatible_msrv, in lint.sh) finds newer functions of the standard
# library. Time budget: 2 seconds.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
promised=$(minimum_rust)

# Tests and programs for other systems are included: who builds the workspace builds them too.
cargo metadata --format-version 1 --locked --all-features | python3 -c '
import json, sys

promised = sys.argv[1]
number = lambda version: [int(part) for part in version.split(".")[:2]]
metadata = json.load(sys.stdin)
problems = []
for crate in metadata["packages"]:
    name, needed = "{name} {version}".format(**crate), crate["rust_version"]
    if crate["source"] is None and needed != promised:
        problems.append(f"{name} says rust-version = {needed}, and the workspace {promised}")
    elif needed and number(needed) > number(promised):
        problems.append(f"{name} needs Rust {needed}, and Cargo.toml promises {promised}")
sys.exit("\n".join(problems) or 0)
' "$promised"

for document in README.md CONTRIBUTING.md; do
  versions=$(grep -oE 'Rust 1\.[0-9]+' "$document" | sort -u)
  [ "$versions" = "Rust $promised" ] ||
    die "$document must name Rust $promised and no other version; it names: ${versions//$'\n'/, }"
done
