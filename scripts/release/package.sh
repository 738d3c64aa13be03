#!/usr/bin/env bash
# Makes target/package/ratelimit-VERSION-linux-ARCH.tar.gz: the module, the Lua script, documents,
# licences, an example configuration, and checksums. The same sources and the same Rust make the
# same bytes, in any folder.
# usage: [SERVER=path] [SOURCE_DATE_EPOCH=seconds] package.sh
#        [RUST_IMAGE=rust:1.95-alpine] package.sh --musl
# Before it ends, it unpacks the package, loads the module into a real server and checks one
# decision.
# --musl makes the package for musl (its name ends in -musl): the script runs itself in a container
# of Alpine and checks the decision on Alpine's Redis. It needs a Docker engine. It has not run yet,
# because nobody could fetch the image so far. The module itself was tried on musl: built with a
# Rust library made from its sources, it loaded into a Redis 7.0.15 built with musl 1.2.3, decided,
# caught a panic, and was unloaded and loaded again.
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"

# On musl Rust links the C library statically by default, which a shared library must not do.
package_for_musl() {
  local date tools='bash binutils build-base clang-dev coreutils findutils gawk grep python3 redis'
  tools+=' sed tar'
  docker info >/dev/null 2>&1 || die "no Docker engine answers"
  date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  docker run --rm --volume "$root:/src" --workdir /src --env SOURCE_DATE_EPOCH="$date" \
    --env RUSTFLAGS="-Ctarget-feature=-crt-static" "${RUST_IMAGE:-rust:1.95-alpine}" \
    sh -c "apk add --no-cache $tools && scripts/release/package.sh"
}

case $#${1-} in
  0) ;;
  1--musl) package_for_musl; exit ;;
  *) die "usage: package.sh [--musl] (see --help)" ;;
esac
[ "$(uname)" = Linux ] ||
  die "the packages are for Linux; make build builds the module for this machine"
"$root/scripts/setup.sh" build
server=$("$root/scripts/servers.sh" one)
dir=$(target_dir)/package
work=$(mktemp -d)
trap 'stop_server; rm -rf "$work"' EXIT

# Builds the module without any path of this machine in it.
build() {
  local flags
  read -ra flags <<<"${RUSTFLAGS-}"
  flags+=("--remap-path-prefix=$root=ratelimit" -Cstrip=debuginfo
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo")
  say "building the module for the package …"
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}") \
    cargo build --release --locked --quiet -p ratelimit --target-dir "$dir/build"
}

# Adapts the links of the documents: the Lua script is in another folder of the package, and links
# to sources, which the package does not have, become plain text.
keep_links_inside() { # folder
  local file link
  sed -i -zE 's|\]\(\.\./crates/ratelimit-client/lua/ratelimit\.lua\)|](../ratelimit.lua)|g
    s#\[([^]]*)\]\(\.\./(ARCHITECTURE|CONTRIBUTING|README|bench|crates|docker|examples|scripts)[^)]*\)#\1#g' \
    "$1"/docs/*.md
  (cd "$1" && grep -roE '\]\([^)]+\)' --include='*.md' .) | while IFS=: read -r file link; do
    link=${link#"]("} link=${link%%[)#]*}
    case $link in '' | http://* | https://*) continue ;; esac
    [ -e "$1/$(dirname "$file")/$link" ] ||
      die "$file of the package links to $link, which is not in it"
  done
}

lay_out() { # folder
  mkdir -p "$1"
  cp "$(module_in "$dir/build")" crates/ratelimit-client/lua/ratelimit.lua docs/ratelimit.conf "$1/"
  cp CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$1/"
  cp scripts/release/package-readme.md "$1/README.md"
  mkdir "$1/docs"
  cp -R docs/*.md docs/commands "$1/docs/"
  keep_links_inside "$1"
  (cd "$1" && find . -type f -printf '%P\n' | LC_ALL=C sort |
    xargs -d '\n' sha256sum) >"$work/sums"
  mv "$work/sums" "$1/SHA256SUMS"
}

pack() { # tarball
  rm -rf "${work:?}/$name"
  lay_out "$work/$name"
  tar -C "$work" --format=ustar --sort=name --mtime="@$date" --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX -cf - "$name" | gzip -9n >"$1"
}

# Sends a command to the server and prints the lines of the reply, joined by spaces.
send() { # word…
  exec 3<>"/dev/tcp/127.0.0.1/$server_port"
  printf '%s\r\nQUIT\r\n' "$*" >&3
  tr -d '\r' <&3 | paste -sd' ' -
  exec 3>&-
}

check_on_a_server() { # tarball
  local unpacked=$work/unpacked reply
  mkdir "$unpacked"
  tar -C "$unpacked" -xzf "$1"
  unpacked=$unpacked/$name
  (cd "$unpacked" && sha256sum --quiet --check SHA256SUMS) ||
    die "a file of the package does not match its checksum"
  sed "s|/usr/local/lib|$unpacked|" "$unpacked/ratelimit.conf" >"$work/server.conf"
  start_server "$server" "$work/server.conf"
  reply=$(send RATELIMIT.CHECK user:42 5 60)
  [[ $reply == "*5 :1 :5 :4 :0 :60000 "* ]] || die "the module of the package answered: $reply"
  stop_server
}

# The newest glibc that a package may need. RHEL 9 has 2.34; Debian 12 and Ubuntu 22.04 have newer
# ones.
max_glibc=2.34
required_libc() { # module
  local version
  if [ "$libc" = musl ]; then echo musl; return; fi
  version=$(objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
  version=${version#GLIBC_}
  [ "$(printf '%s\n' "$max_glibc" "$version" | sort -V | tail -1)" = "$max_glibc" ] ||
    die "the module needs glibc $version, and a package may need $max_glibc at most"
  echo "glibc $version or later"
}

case $(rustc -vV) in *-musl*) libc=musl ;; *) libc=gnu ;; esac
version=$(cargo pkgid --locked -p ratelimit | sed 's/.*[#@]//')
name=ratelimit-$version-linux-$(uname -m)
if [ "$libc" = musl ]; then name=$name-musl; fi
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
tarball=$dir/$name.tar.gz

build
needed=$(required_libc "$(module_in "$dir/build")")
pack "$tarball"
pack "$work/again.tar.gz"
cmp "$tarball" "$work/again.tar.gz" || die "packing twice did not make the same bytes"
check_on_a_server "$tarball"
(cd "$dir" && sha256sum "$name.tar.gz" >SHA256SUMS)
say "$(server_name "$server") decides with the module of ${tarball#"$root"/}; it needs $needed"
cat "$dir/SHA256SUMS"
