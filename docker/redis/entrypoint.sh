#!/bin/sh
# Starts the Redis or Valkey of the image with the module.
# usage: entrypoint.sh [FILE.conf] [--OPTION VALUE]…     starts the server with options of its own
#        entrypoint.sh PROGRAM [ARGUMENT]…               runs another program instead
#        entrypoint.sh healthy                           exits with 0 if the running server decides
# REDIS_PASSWORD sets a password, REDIS_PORT the port (6379).
set -eu

if command -v valkey-server >/dev/null; then server=valkey; else server=redis; fi
port=${REDIS_PORT:-6379}

if [ "$*" = healthy ]; then
  # redis-cli would send an empty password, which the server rejects.
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
"*) echo 'REDIS_PASSWORD must not contain a double quote, a backslash or a line break' >&2; exit 1 ;;
  *) password="requirepass \"$REDIS_PASSWORD\"
masterauth \"$REDIS_PASSWORD\"" ;;
esac

# The configuration goes through standard input, so that no list of processes shows the password. As
# in the base image, other containers can connect (protected-mode no).
exec "$server-server" - "$@" <<END
dir /data
port $port
protected-mode no
loadmodule /usr/local/lib/libratelimit.so
$config
$password
END
