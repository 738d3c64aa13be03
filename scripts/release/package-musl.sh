#!/usr/bin/env bash
# Makes the package for musl in a container of Alpine, and tries it there on Alpine's Redis. Needs a Docker engine.
# The script is untried, as no machine here could fetch the image. The module is not: built for musl with a library of
# Rust made from its sources, it loaded into a Redis 7.0.15 built with musl 1.2.3, decided, caught a panic, and was
# unloaded and loaded again.
# usage: [RUST_IMAGE=rust:1.95-alpine] package-musl.sh
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
docker info >/dev/null 2>&1 || die "no Docker engine answers"
date=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
tools='bash binutils build-base clang-dev coreutils findutils gawk grep python3 redis sed tar'

# A library that is loaded must not bring a C library of its own, as musl's programs do by default.
docker run --rm --volume "$root:/src" --workdir /src --env SOURCE_DATE_EPOCH="$date" \
  --env RUSTFLAGS="-Ctarget-feature=-crt-static" "${RUST_IMAGE:-rust:1.95-alpine}" \
  sh -c "apk add --no-cache $tools && scripts/release/package.sh"
