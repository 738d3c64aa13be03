#!/bin/sh
# Starts the image's Redis or Valkey with the module. Arguments are its own options, such as --maxmemory 100mb,
# behind a configuration file if there is one; or another program to run instead.
# REDIS_PASSWORD sets a password, REDIS_PORT the port (6379).
# "healthy" as the only argument asks the running server for a decision instead.
set -eu

if command -v valkey-server >/dev/null; then server=valkey; else server=redis; fi
port=${REDIS_PORT:-6379}

if [ "$*" = healthy ]; then
  # An empty one would be sent, and refused.
  if [ -n "${REDIS_PASSWORD-}" ]; then export REDISCLI_AUTH="$REDIS_PASSWORD"; fi
  answer=$("$server-cli" -p "$port" RATELIMIT.PEEK healthy 1 1 2>&1) || true
  case $answer in 1*) exit 0 ;; *) echo "$answer"; exit 1 ;; esac
fi

config='' password=''
case ${1-} in
  *.conf) config="include $1"; shift ;;
  '' | -*) ;;
  *) exec "$@" ;;
esac
case ${REDIS_PASSWORD-} in
  '') ;;
  *[\"\\]* | *"
"*) echo 'REDIS_PASSWORD must not hold a double quote, a backslash or a line break' >&2; exit 1 ;;
  *) password="requirepass \"$REDIS_PASSWORD\"
masterauth \"$REDIS_PASSWORD\"" ;;
esac

# By standard input, so that no list of processes shows the password. Reachable from other containers, as the
# server of the image that this one is made from.
exec "$server-server" - "$@" <<END
dir /data
port $port
protected-mode no
loadmodule /usr/local/lib/libratelimit.so
$config
$password
END
