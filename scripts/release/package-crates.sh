#!/usr/bin/env bash
# Checks that the crates ratelimit-core and ratelimit-client can be published: packages both, and
# compiles the client and its unit tests as they are in the package, with all features.
# usage: package-crates.sh
# Nothing is published. The packages are left in target/package/. The two crates go in one call,
# because the client cannot be packaged alone while the core is not published.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"
crates=(ratelimit-core ratelimit-client)
packages=()
for crate in "${crates[@]}"; do packages+=(--package "$crate"); done

# Also compiles each packaged crate, with all features. Work that is not committed yet counts, too.
cargo package --locked --allow-dirty --quiet --all-features "${packages[@]}"

version=$(cargo metadata --format-version 1 --no-deps --locked |
  python3 -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "ratelimit-client"))')
for crate in "${crates[@]}"; do
  files=$(tar -tzf "$(target_dir)/package/$crate-$version.crate" | cut -d/ -f2-)
  for file in README.md LICENSE-MIT LICENSE-APACHE src/lib.rs; do
    grep -qx "$file" <<<"$files" || die "the package of $crate has no $file"
  done
  if grep -E '^(tests|benches)/' <<<"$files"; then die "the package of $crate has tests of the tree"; fi
done
say "ratelimit-core and ratelimit-client can be published: $(target_dir)/package/"
