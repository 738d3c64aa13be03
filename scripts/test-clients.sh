#!/usr/bin/env bash
# Runs every program of docs/clients.md with its own client against a real server, and those whose
# client speaks cluster against a real cluster of three nodes as well.
# usage: [SERVER=path] test-clients.sh [CLIENT...]      a client is a folder of examples/
# Each program checks two pairs. It runs six times on one key (five calls are allowed, the sixth is
# denied with a wait) and once with a cost that is never allowed, and must ignore fields that a
# later version may append. It must also report that there is no decision: for a key of another
# type, without a server, with a server that hangs, with a reply that is lost (where it must not
# check twice), and with a server without the module (except for the Lua script). setup.sh installs
# clients with apt-get; those of npm and PyPI are pinned in examples/ and go to target/clients/.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"
built=$(target_dir)/clients
lua_script=$root/crates/ratelimit-client/lua/ratelimit.lua
passed=0 failed=0
unset REDIS_CLUSTER

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

# The client without its programs: what the server answers. It follows a key to its node.
cli() { "$cli_path" -c -p "$server_port" "$@"; }

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

ignores_later_fields() { # client
  run "$proxy_port" "later:$1"
  expect "a reply with later fields" 0 "allowed, 4 remaining"
  run "$proxy_port" "later:$1" 6
  expect "a denial with later fields" 0 'denied, can never pass'
}

# The reply of a check that was counted is lost: the program must not send the check again.
never_checks_twice() { # client
  local fate before
  for fate in mute cut; do
    before=$(happened $fate)
    if [ "${REDIS_CLUSTER-}" ]; then run "$server_port" "$(key_of 2 "$fate:$1")"
    else run "$proxy_port" "$fate:$1"
    fi
    expect "$fate" 1 'unchecked: .+'
    [ "$(happened $fate)" = $((before + 1)) ] ||
      expect "$fate" 1 "one check, not $(($(happened $fate) - before))"
  done
}

# An error must not count as "allowed", and the program must not wait for ever.
reports_that_there_is_no_decision() { # client
  cli LPUSH "list:$1" word >/dev/null
  run "$server_port" "list:$1"
  expect "a key of another type" 1 'unchecked: .+'
  run "$(free_port)" "example:$1"
  expect "no server" 1 'unchecked: .+'
  hangs "$server_pid" "example:$1"
}

hangs() { # pid of the server, key
  kill -STOP "$1"
  run "$server_port" "$2"
  kill -CONT "$1"
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

# --- a proxy before the server ------------------------------------------------------------------

proxy_pid='' proxy_port='' proxy_log=''

start_proxy() { # port of the server
  stop_proxy
  proxy_port=$(free_port)
  proxy_log=$(mktemp)
  python3 "$root/scripts/test-clients/proxy.py" "$proxy_port" "$1" >"$proxy_log" &
  proxy_pid=$!
  local deadline=$((SECONDS + 30))
  until answers "$proxy_port"; do
    [ $SECONDS -lt $deadline ] || die "scripts/test-clients/proxy.py does not answer"
    sleep 0.1
  done
}

stop_proxy() {
  if [ -z "$proxy_pid" ]; then return; fi
  kill "$proxy_pid" 2>/dev/null || true
  wait "$proxy_pid" 2>/dev/null || true
  rm -f "$proxy_log"
  proxy_pid=''
}

# To how many checks the proxy has done this.
happened() { grep -cx "$1" "$proxy_log" || true; } # later | mute | cut

# --- a cluster ----------------------------------------------------------------------------------

node_ports=() node_pids=() node_dirs=()

# Starts three nodes with the module; each has a third of the slots. server_port is the first; the
# clients reach the third through the proxy.
start_cluster() {
  stop_server
  local addresses=()
  for _ in 1 2 3; do
    start_server "$server" --loadmodule "$module" --cluster-enabled yes \
      --cluster-port "$(free_port)"
    node_ports+=("$server_port") node_pids+=("$server_pid") node_dirs+=("$server_dir")
    addresses+=("127.0.0.1:$server_port")
    server_pid='' server_dir='' # stop_cluster stops it
  done
  "$cli_path" --cluster create "${addresses[@]}" --cluster-yes >"${node_dirs[0]}/created" 2>&1 ||
    { cat "${node_dirs[0]}/created" >&2; die "the cluster did not start"; }
  server_port=${node_ports[0]}
  start_proxy "${node_ports[2]}"
  "$cli_path" -p "${node_ports[2]}" CONFIG SET cluster-announce-port "$proxy_port" >/dev/null
  local port
  for port in "${node_ports[@]}"; do wait_until_the_node_is_ready "$port"; done
}

wait_until_the_node_is_ready() { # port
  local deadline=$((SECONDS + 60))
  until [[ $("$cli_path" -p "$1" CLUSTER INFO) == *cluster_state:ok* &&
    $("$cli_path" -p "$1" CLUSTER NODES) == *:$proxy_port@* ]]; do
    [ $SECONDS -lt $deadline ] || die "a node does not find the others"
    sleep 0.1
  done
}

stop_cluster() {
  local node
  for node in ${node_pids[@]+"${!node_pids[@]}"}; do
    server_pid=${node_pids[node]} server_dir=${node_dirs[node]}
    stop_server
  done
  node_ports=() node_pids=() node_dirs=()
}

# A key that belongs to a node: the name with a number.
key_of() { # node, name
  local number=0
  until "$cli_path" -p "${node_ports[$1]}" -e EXISTS "$2:$number" >/dev/null 2>&1; do
    number=$((number + 1))
  done
  echo "$2:$number"
}

# How many calls all nodes have answered with MOVED.
moved() {
  local port sum=0 count
  for port in "${node_ports[@]}"; do
    count=$("$cli_path" -p "$port" INFO errorstats | tr -d '\r' |
      sed -n 's/^errorstat_MOVED:count=//p')
    sum=$((sum + ${count:-0}))
  done
  echo $sum
}

decides_on_each_node() { # client
  local node key before after
  for node in 0 1 2; do
    key=$(key_of $node "example:$1")
    before=$(moved)
    run "$server_port" "$key"
    expect "a call for node $node" 0 'allowed, 4 remaining'
    run "$server_port" "$key" 4
    expect "a second call for node $node" 0 'allowed, 0 remaining'
    run "$server_port" "$key"
    expect "a third call for node $node" 0 'denied, retry in [1-9][0-9]* ms'
    run "$server_port" "$key" 6
    expect "a cost of 6 for node $node" 0 'denied, can never pass'
    after=$(moved)
    # redis-cli knows no slots and follows each MOVED.
    [ "$1" = redis-cli ] || [ "$after" = "$before" ] ||
      expect "calls for node $node" 0 "no call to a wrong node, not $((after - before))"
  done
}

reports_that_a_node_is_gone() { # client
  run "$(free_port)" "example:$1"
  expect "no cluster" 1 'unchecked: .+'
  local node=$((${#node_pids[@]} - 1))
  hangs "${node_pids[node]}" "$(key_of $node "example:$1")"
}

# -------------------------------------------------------------------------------------------------

stop_everything() {
  stop_proxy
  stop_cluster
  stop_server
}

clients=("$@")
if [ $# = 0 ]; then
  for folder in examples/*/; do clients+=("$(basename "$folder")"); done
fi
for client in "${clients[@]}"; do command_of "$client"; done
prepare
server=$("$root/scripts/servers.sh" one)
cli_path=$(tool_beside "$server" cli)
module=$(module_in "$(target_dir)")
trap stop_everything EXIT

start_server "$server" --loadmodule "$module"
start_proxy "$server_port"
say "running the programs on $(server_name "$server") …"
for client in "${clients[@]}"; do
  case $client in
    script-*) ;;
    *) test_client "$client" decides ignores_later_fields \
      never_checks_twice reports_that_there_is_no_decision ;;
  esac
done
start_server "$server"
start_proxy "$server_port"
say "the same server without the module …"
for client in "${clients[@]}"; do
  case $client in
    script-*)
      test_client "$client" decides ignores_later_fields \
      never_checks_twice reports_that_there_is_no_decision ;;
    *) test_client "$client" reports_that_the_command_is_missing ;;
  esac
done
say "a cluster of three nodes …"
start_cluster
export REDIS_CLUSTER=1
for client in "${clients[@]}"; do
  case $client in
    # The others are made for one server; docs/clients.md says so.
    ioredis | node-redis | python-redis | python-valkey | redis-cli | rust-redis)
      test_client "$client" decides_on_each_node \
        never_checks_twice reports_that_a_node_is_gone ;;
  esac
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
