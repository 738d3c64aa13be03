#!/usr/bin/env bash
# check.sh key [cost]: 5 calls a minute and 50 an hour, with redis-cli.
url=${REDIS_URL:-redis://127.0.0.1:6379}

# -c: in a cluster, follow the key to its node. -e: an error reply is an exit status; timeout: a
# server that hangs is one too.
check=(RATELIMIT.CHECK "$1" 5 60 50 3600 COST "${2:-1}")
if ! reply=$(timeout 2 redis-cli -u "$url" -c -e "${check[@]}" 2>&1); then
  echo "unchecked: ${reply:-no answer in time}" >&2 # let it pass or deny it: your choice
  exit 1
fi
# Four of the lines; more may follow.
{ read -r allowed; read -r _limit; read -r remaining; read -r retry_after_ms; } <<<"$reply"
if [ "$allowed" = 1 ]; then
  echo "allowed, $remaining remaining"
elif [ "$retry_after_ms" = -1 ]; then
  echo "denied, can never pass"
else
  echo "denied, retry in $retry_after_ms ms"
fi
