#!/usr/bin/env bash
# Runs every program of docs/clients.md with its own client against a real server.
# usage: [SERVER=path] test-clients.sh [CLIENT...]      a client is a folder of examples/
# Each program runs six times on one key (five calls are allowed, the sixth is denied with a wait)
# and once with a cost that is never allowed. It must also report that there is no decision: for a
# key of another type, without a server, with a server that hangs, and with a server without the
# module (except for the Lua script). setup.sh installs clients with apt-get; those of npm and PyPI
# are pinned in examples/ and go to target/clients/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
built=$(target_dir)/clients
lua_script=$root/crates/ratelimit-client/lua/ratelimit.lua
passed=0 failed=0

prepare() {
  "$root/scripts/setup.sh" build redis-tools pip clients
  build_module
  mkdir -p "$built"
  pip_install "$root/examples/requirements.txt" "$built/python"
  npm_install "$root/examples" "$built/node"
  # Node looks for a package beside the file that imports it.
  local client
  for client in node-redis ioredis; do
    cp "examples/$client/check.mjs" "$built/node/$client.mjs"
  done
  say "building the compiled programs …"
  cc -Wall -Wextra -Werror -o "$built/hiredis" examples/hiredis/check.c -lhiredis
  # Debian installs the sources of Go libraries under this path.
  GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$built/redigo" examples/redigo/check.go
  cargo build --quiet --locked -p ratelimit-example-rust-redis
}

# Sets `command` to the command line of a client's program.
command_of() { # client
  local folder=$root/examples/$1 python=(env PYTHONPATH="$built/python")
  case $1 in
    redis-cli) command=(bash "$folder/check.sh") ;;
    python-redis | python-valkey) command=("${python[@]}" python3 "$folder/check.py") ;;
    script-python)
      command=("${python[@]}" RATELIMIT_LUA="$lua_script" python3 "$folder/check.py") ;;
    node-redis | ioredis) command=(node "$built/node/$1.mjs") ;;
    phpredis) command=(php "$folder/check.php") ;;
    redis-rb) command=(ruby "$folder/check.rb") ;;
    hiredis | redigo) command=("$built/$1") ;;
    rust-redis) command=("$(target_dir)/debug/check-with-rust-redis") ;;
    *) die "examples/$1: scripts/test-clients.sh does not know how to run it" ;;
  esac
}

# Runs the program against a port; sets `printed` (all its output) and `status`.
run() { # port, word…
  local port=$1
  shift
  export REDIS_HOST=127.0.0.1 REDIS_PORT=$port REDIS_URL=redis://127.0.0.1:$port
  status=0
  printed=$(timeout 30 "${command[@]}" "$@" 2>&1) || status=$?
}

expect() { # case, status, pattern of the output
  if [ "$status" = "$2" ] && [[ $printed =~ ^$3$ ]]; then return; fi
  problems+="
        $1: expected \"$3\" and exit status $2, but got \"$printed\" and $status"
}

decides() { # client
  local key=example:$1 remaining
  for remaining in 4 3 2 1 0; do
    if [ $remaining = 2 ]; then cli SCRIPT FLUSH >/dev/null; fi
    run "$server_port" "$key"
    expect "five calls" 0 "allowed, $remaining remaining"
  done
  run "$server_port" "$key"
  expect "the sixth call" 0 'denied, retry in ([1-9][0-9]*) ms'
  [[ ${BASH_REMATCH[1]-0} -le 60000 ]] || expect "the wait" 0 "at most 60000 ms"
  run "$server_port" "$key:never" 6
  expect "a cost of 6" 0 'denied, can never pass'
}

# An error must not count as "allowed", and the program must not wait for ever.
reports_that_there_is_no_decision() { # client
  cli LPUSH "list:$1" word >/dev/null
  run "$server_port" "list:$1"
  expect "a key of another type" 1 'unchecked: .+'
  run "$(free_port)" "example:$1"
  expect "no server" 1 'unchecked: .+'
  kill -STOP "$server_pid"
  run "$server_port" "example:$1"
  kill -CONT "$server_pid"
  expect "a server that hangs" 1 'unchecked: .+'
}

reports_that_the_command_is_missing() { # client
  run "$server_port" "example:$1"
  expect "a server without the module" 1 'unchecked: .*unknown command.*'
}

test_client() { # client, test…
  local client=$1 problems='' test
  shift
  command_of "$client"
  for test in "$@"; do "$test" "$client"; done
  if [ -z "$problems" ]; then passed=$((passed + 1)); echo "ok      $client"
  else failed=$((failed + 1)); echo "FAILED  $client$problems"; fi
}

cli() { "$cli_path" -p "$server_port" "$@"; }

clients=("$@")
if [ $# = 0 ]; then
  for folder in examples/*/; do clients+=("$(basename "$folder")"); done
fi
for client in "${clients[@]}"; do command_of "$client"; done
prepare
server=$("$root/scripts/servers.sh" one)
cli_path=$(tool_beside "$server" cli)
trap stop_server EXIT

start_server "$server" --loadmodule "$(module_in "$(target_dir)")"
say "running the programs on $(server_name "$server") …"
for client in "${clients[@]}"; do
  case $client in
    script-*) ;;
    *) test_client "$client" decides reports_that_there_is_no_decision ;;
  esac
done
start_server "$server"
say "the same server without the module …"
for client in "${clients[@]}"; do
  case $client in
    script-*) test_client "$client" decides reports_that_there_is_no_decision ;;
    *) test_client "$client" reports_that_the_command_is_missing ;;
  esac
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
