#!/usr/bin/env bash
# Starts a server with the module, two instances of the service that share its limits, and the live
# page. It runs in the foreground; Ctrl-C stops all of it.
# usage: [SERVER=path] [PORT=3000] demo.sh
# The first instance listens on PORT, the second on the port after it, the server on a free port.
# The environment may hold settings of the service (RATE_LIMIT, TIME_WINDOW, ALGORITHM …).
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
port=${PORT:-3000}
{ is_port "$port" && is_port $((port + 1)); } ||
  die "PORT must be an integer between 1 and 65534, and is '$port'"
ports=("$port" $((port + 1)))
instances=()

for taken in "${ports[@]}"; do
  if listening "$taken"; then
    die "port $taken is in use; choose two others with PORT=, e.g. make demo PORT=$((port + 10))"
  fi
done
server=$("$root/scripts/servers.sh" one)
"$root/scripts/setup.sh" build
build_module
say "building the service; the first time, this takes some minutes …"
(cd "$root" && cargo build --release --locked --quiet -p ratelimit-server)
name=$(server_name "$server")

# Ignores a second Ctrl-C while it waits: the instances stop within their own deadline.
# shellcheck disable=SC2317 # a trap calls it
end() {
  trap '' INT TERM HUP
  local pid
  for pid in ${instances[@]+"${instances[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${instances[@]+"${instances[@]}"}; do wait "$pid" 2>/dev/null || true; done
  stop_server
}
trap end EXIT
trap 'exit 0' INT TERM HUP

# With job control, Ctrl-C reaches only this script, which then stops the others in order.
set -m
start_server "$server" --loadmodule "$(module_in "$(target_dir)")"
peers="http://127.0.0.1:${ports[0]},http://127.0.0.1:${ports[1]}"
for i in 0 1; do
  REDIS_HOST=127.0.0.1 REDIS_PORT=$server_port INSTANCES=2 PEERS=$peers PORT=${ports[$i]} \
    INSTANCE=instance-$((i + 1)) "$(target_dir)/release/ratelimit-server" &
  instances+=($!)
done
for i in 0 1; do
  deadline=$((SECONDS + 30))
  until listening "${ports[$i]}"; do
    if ! kill -0 "${instances[$i]}" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      die "the instance on port ${ports[$i]} did not start; its messages stand above"
    fi
    sleep 0.1
  done
done

cat <<END

$name with the module answers on port $server_port, and two instances share its limits.

  http://127.0.0.1:${ports[0]}/dashboard    the live page: choose a limit, send traffic, watch it

  curl -i http://127.0.0.1:${ports[0]}/     both instances together allow five a minute …
  curl -i http://127.0.0.1:${ports[1]}/     … and the sixth is denied

Ctrl-C stops all of it.

END
is_running() { kill -0 "$1" 2>/dev/null; } # pid
while is_running "${instances[0]}" && is_running "${instances[1]}"; do sleep 0.5; done
die "an instance has stopped; its messages stand above"
