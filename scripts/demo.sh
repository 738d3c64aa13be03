#!/usr/bin/env bash
# Shows it all: a server with the module, two instances of the service that share its limits, and the
# live page. In the foreground, until Ctrl-C ends everything.
# usage: [SERVER=path] [PORT=3000] demo.sh
# The first instance listens on PORT, the second on the next one; the server on a free port. Settings
# of the service (RATE_LIMIT, TIME_WINDOW, ALGORITHM …) are taken from the environment.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
port=${PORT:-3000}
{ is_port "$port" && is_port $((port + 1)); } || die "PORT must be an integer between 1 and 65534, and is '$port'"
ports=("$port" $((port + 1)))
instances=()

for taken in "${ports[@]}"; do
  if listening "$taken"; then
    die "port $taken is taken; choose two others with PORT=, e.g. make demo PORT=$((port + 10))"
  fi
done
server=$("$root/scripts/servers.sh" one)
"$root/scripts/setup.sh" build
build_module
say "building the service; the first time this takes some minutes …"
(cd "$root" && cargo build --release --locked --quiet -p ratelimit-server)
name=$(server_name "$server")

# A further Ctrl-C while this waits changes nothing: the instances end within their deadline.
# shellcheck disable=SC2317 # it is called by a trap
end() {
  trap '' INT TERM HUP
  local pid
  for pid in ${instances[@]+"${instances[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${instances[@]+"${instances[@]}"}; do wait "$pid" 2>/dev/null || true; done
  stop_server
}
trap end EXIT
trap 'exit 0' INT TERM HUP

# Ctrl-C reaches this script alone, which ends the others in order.
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
      die "the instance on port ${ports[$i]} did not start; its own words stand above"
    fi
    sleep 0.1
  done
done

cat <<END

$name with the module answers on port $server_port, and two instances share its limits.

  http://127.0.0.1:${ports[0]}/dashboard    the live page: choose a limit, send traffic, watch it

  curl -i http://127.0.0.1:${ports[0]}/     five pass in a minute, on whichever instance …
  curl -i http://127.0.0.1:${ports[1]}/     … the sixth is denied

Ctrl-C ends it all.

END
while kill -0 "${instances[0]}" 2>/dev/null && kill -0 "${instances[1]}" 2>/dev/null; do sleep 0.5; done
die "an instance has ended; its own words stand above"
