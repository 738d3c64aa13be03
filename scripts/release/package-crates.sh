#!/usr/bin/env bash
# Checks that the crates ratelimit-core and ratelimit-client can be published: packages both, and
# compiles each from its package with all features.
# usage: package-crates.sh
# It publishes nothing and leaves the packages in target/package/. The two crates go in one call,
# because the client cannot be packaged alone while the core is not published.
# Time budget: 1 minute on two cores.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"
crates=(ratelimit-core ratelimit-client)
packages=()
for crate in "${crates[@]}"; do packages+=(--package "$crate"); done

# It also compiles each packaged crate. Changes that are not committed yet are included.
cargo package --locked --allow-dirty --quiet --all-features "${packages[@]}"

version=$(cargo pkgid --locked -p ratelimit-client | sed 's/.*[#@]//')
for crate in "${crates[@]}"; do
  files=$(tar -tzf "$(target_dir)/package/$crate-$version.crate" | cut -d/ -f2-)
  for file in README.md LICENSE-MIT LICENSE-APACHE src/lib.rs; do
    grep -qx "$file" <<<"$files" || die "the package of $crate has no $file"
  done
  if grep -E '^(tests|benches)/' <<<"$files"; then
    die "the package of $crate contains tests that only work in the repository"
  fi
done
say "ratelimit-core and ratelimit-client can be published: $(target_dir)/package/"
