#!/usr/bin/env bash
# Checks that a version is the same wherever the repository names it: the oldest Rust that is
# promised, the Rust that CI and the images build with, and the servers of the test matrix.
# usage: versions.sh
# Time budget: 5 seconds. It needs no network and no second toolchain. That the sources build with
# the oldest Rust is checked elsewhere: a job of the CI builds with it, and clippy
# (incompatible_msrv, in lint.sh) finds functions that the standard library got later.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
workflows=.github/workflows

same() { # what, what it must be, what it is
  [ "$2" = "$3" ] || die "$1: it must be $2, and is ${3:-missing}"
}

lines() { sort -u | paste -sd' ' -; } # lines on stdin → one line, each once

# What each crate in Cargo.lock says of itself. Tests and other systems are included.
crates_agree_with() { # the promised version
  cargo metadata --format-version 1 --locked --all-features | python3 -c '
import json, sys

promised = sys.argv[1]
number = lambda version: [int(part) for part in version.split(".")[:2]]
problems = []
for crate in json.load(sys.stdin)["packages"]:
    name, needed = "{name} {version}".format(**crate), crate["rust_version"]
    if crate["source"] is None and needed != promised:
        problems.append(f"error: {name} has rust-version = {needed}, the workspace {promised}")
    elif needed and number(needed) > number(promised):
        problems.append(f"error: {name} needs Rust {needed}, the workspace promises {promised}")
sys.exit("\n".join(problems) or 0)
' "$1"
}

oldest_rust() {
  local oldest document
  oldest=$(minimum_rust)
  crates_agree_with "$oldest"
  for document in README.md CONTRIBUTING.md; do
    same "the Rust that $document names" "$oldest" \
      "$(sed -nE 's/.*Rust (1\.[0-9]+).*/\1/p' $document | lines)"
  done
  same "RUSTUP_TOOLCHAIN of the job for the oldest Rust" "$oldest.0" \
    "$(sed -nE 's/^      RUSTUP_TOOLCHAIN: //p' $workflows/*.yml | lines)"
}

rust_of_ci() {
  local version
  version=$(sed -nE 's/^FROM \$\{RUST_IMAGE:-rust:([0-9.]+)-.*/\1/p' docker/Dockerfile)
  same "RUSTUP_TOOLCHAIN of all workflows" "$version.0" \
    "$(sed -nE 's/^  RUSTUP_TOOLCHAIN: //p' $workflows/*.yml | lines)"
  same "RUST_IMAGE of package.sh" "$version" \
    "$(sed -nE 's/.*RUST_IMAGE[:=]-?rust:([0-9.]+)-.*/\1/p' scripts/release/package.sh | lines)"
}

servers() {
  local names name document argument
  names=$(scripts/servers.sh names | lines)
  same "the matrix of ci.yml" "$names" \
    "$(sed -nE 's/^ *server: \[(.*)\]$/\1/p' $workflows/ci.yml | tr -d ' ' | tr , '\n' | lines)"
  for name in $names; do
    for document in README.md docs/operations.md; do
      grep -qF "${name#*-}" $document || die "$document does not name $name, which is in the matrix"
    done
  done
  for argument in REDIS VALKEY; do
    name=$(sed -n "s/^ARG ${argument}_VERSION=//p" docker/Dockerfile)
    name=$(tr '[:upper:]' '[:lower:]' <<<"$argument")-$name
    [[ " $names " == *" $name "* ]] || die "the image has $name, which is not in the matrix"
  done
}

oldest_rust
rust_of_ci
servers
