#!/usr/bin/env bash
# Checks that the crates ratelimit-core and ratelimit-client can be published: packages both, then
# compiles the unpacked packages, with the unit tests and examples that are in them.
# usage: package-crates.sh
# Nothing is published. The packages are left in target/package/. Both go in one call, because the
# client cannot be packaged alone while the core is not published.
# Time budget: 1 minute on two cores.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"
target=$(target_dir)
unpacked=$target/packaged

# Cargo's own verification is left out: Cargo keeps the source of an unpublished crate by its
# version, so it would compile the client with an older core of the same version.
# Work that is not committed yet is packaged, too.
cargo package --locked --allow-dirty --quiet --no-verify \
  --package ratelimit-core --package ratelimit-client

rm -rf "$unpacked"
mkdir -p "$unpacked"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for crate in ratelimit-core ratelimit-client; do
  tar -xzf "$target/package/$crate-$version.crate" -C "$unpacked"
  # Without it, Cargo takes the package for a forgotten member of this workspace.
  printf '\n[workspace]\n' >>"$unpacked/$crate-$version/Cargo.toml"
  for file in README.md LICENSE-MIT LICENSE-APACHE src/lib.rs; do
    [ -f "$unpacked/$crate-$version/$file" ] || die "the package of $crate has no $file"
  done
  for folder in tests benches; do
    [ ! -e "$unpacked/$crate-$version/$folder" ] ||
      die "the package of $crate has $folder/, which works in the repository only"
  done
done

check() { # crate, words for cargo…
  (cd "$unpacked/$1-$version" &&
    CARGO_TARGET_DIR=$target cargo check --quiet --all-features "${@:2}")
}

core=$unpacked/ratelimit-core-$version
check ratelimit-core --lib
check ratelimit-client --lib --tests --examples \
  --config "patch.crates-io.ratelimit-core.path='$core'"
say "ratelimit-core and ratelimit-client can be published: $target/package/"
