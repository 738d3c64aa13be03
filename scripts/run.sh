#!/usr/bin/env bash
# Builds the module and runs a server with it in the foreground, until Ctrl-C.
# usage: [SERVER=path] [PORT=6379] run.sh
# Without SERVER, it runs the first server that it finds, and installs Redis if there is none. It
# keeps no data: the server saves nothing, and its directory is removed when it stops.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
server_port=${PORT:-6379}

is_port "$server_port" ||
  die "PORT must be an integer between 1 and 65535, and is '$server_port'"
if listening "$server_port"; then
  die "port $server_port is in use; choose another, e.g. make run PORT=$((server_port + 1))"
fi
server=$("$root/scripts/servers.sh" one)
"$root/scripts/setup.sh" build
build_module
name=$(server_name "$server")
server_dir=$(mktemp -d)

# Ctrl-C reaches the server too, which then stops by itself. This script passes on a TERM.
trap stop_server EXIT
trap 'stop_server; say "stopped"; exit 0' INT TERM HUP

# The output goes through cat: a server that sees no terminal prints no logo.
"$server" --port "$server_port" --bind 127.0.0.1 --dir "$server_dir" --save "" --appendonly no \
  --loadmodule "$(module_in "$(target_dir)")" > >(trap '' INT TERM HUP; exec cat) 2>&1 &
server_pid=$!
wait_until_it_answers || die "$name did not start; its messages stand above"

sleep 0.2 # so that the server's last line comes first
if cli=$(tool_beside "$server" cli); then
  cli=$(basename "$cli")
else
  cli=redis-cli
  say "
There is no redis-cli here; scripts/setup.sh redis-tools installs it."
fi
cat <<END

$name answers on port $server_port. In another terminal, try:

  $cli -p $server_port RATELIMIT.CHECK user:42 5 60   # 1 5 4 0 60000: allowed, 4 remain
  $cli -p $server_port RATELIMIT.PEEK user:42 5 60    # the same decision, but nothing is counted
  $cli -p $server_port INFO ratelimit                 # how many calls were allowed and denied

The sixth CHECK within 60 seconds is denied. Ctrl-C stops the server.

END
wait "$server_pid"
