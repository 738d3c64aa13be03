#!/usr/bin/env bash
# check.sh key [cost]: 5 calls a minute, with redis-cli.
url=${REDIS_URL:-redis://127.0.0.1:6379}

# -e: an error reply is an exit status; timeout: a server that hangs is one too.
if ! reply=$(timeout 2 redis-cli -u "$url" -e RATELIMIT.CHECK "$1" 5 60 COST "${2:-1}" 2>&1); then
  echo "unchecked: ${reply:-no answer in time}" >&2 # let it pass or deny it: your choice
  exit 1
fi
{ read -r allowed; read -r _limit; read -r remaining; read -r retry_after_ms; } <<<"$reply"
if [ "$allowed" = 1 ]; then
  echo "allowed, $remaining remaining"
elif [ "$retry_after_ms" = -1 ]; then
  echo "denied, can never pass"
else
  echo "denied, retry in $retry_after_ms ms"
fi
