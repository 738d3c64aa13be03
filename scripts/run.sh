#!/usr/bin/env bash
# Builds the module and runs a server with it in the foreground, until Ctrl-C.
# usage: [SERVER=path] [PORT=6379] run.sh
# SERVER chooses the server, else the first one found, else Redis is installed. Nothing is kept:
# the server saves nothing and works in a directory that goes with it.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
server_port=${PORT:-6379}

is_port "$server_port" || die "PORT must be an integer between 1 and 65535, and is '$server_port'"
if listening "$server_port"; then
  die "port $server_port is taken; choose another one with PORT=, e.g. make run PORT=$((server_port + 1))"
fi
server=$("$root/scripts/servers.sh" one)
"$root/scripts/setup.sh" build
build_module
name=$(server_name "$server")
server_dir=$(mktemp -d)

# The server ends itself at Ctrl-C, which reaches it too; a TERM to this script is passed on.
trap stop_server EXIT
trap 'stop_server; say "ended"; exit 0' INT TERM HUP

# Through cat, so that the server sees no terminal and leaves out its logo.
"$server" --port "$server_port" --bind 127.0.0.1 --dir "$server_dir" --save "" --appendonly no \
  --loadmodule "$(module_in "$(target_dir)")" > >(trap '' INT TERM HUP; exec cat) 2>&1 &
server_pid=$!
wait_until_it_answers || die "$name did not start; its own words stand above"

sleep 0.2 # the server's last line first
if cli=$(tool_beside "$server" cli); then
  cli=$(basename "$cli")
else
  cli=redis-cli
  say "
No redis-cli here to try it with: scripts/setup.sh redis-tools installs it."
fi
cat <<END

$name answers on port $server_port. In another terminal, try:

  $cli -p $server_port RATELIMIT.CHECK user:42 5 60   # 1 5 4 0 60000: allowed, 4 remain; the sixth within 60 s is denied
  $cli -p $server_port RATELIMIT.PEEK user:42 5 60    # what CHECK would decide; consumes nothing
  $cli -p $server_port INFO ratelimit                 # how many were allowed and denied

Ctrl-C ends it.

END
wait "$server_pid"
