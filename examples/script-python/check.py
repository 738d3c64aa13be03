"""check.py key [cost]: 5 calls a minute and 50 an hour, by the Lua script, with redis."""
import hashlib
import os
import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

with open(os.environ.get("RATELIMIT_LUA", "ratelimit.lua"), encoding="utf-8") as file:
    SCRIPT = file.read()
DIGEST = hashlib.sha1(SCRIPT.encode()).hexdigest()


def run_script(client, key, *words):
    try:
        return client.evalsha(DIGEST, 1, key, *words)
    except redis.exceptions.NoScriptError:  # a server that is new, restarted or failed over to
        return client.eval(SCRIPT, 1, key, *words)  # which keeps it for the next EVALSHA


client = redis.Redis.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"),
    socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0),
)
key, cost = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else 1
try:
    reply = run_script(client, key, "CHECK", 5, 60, 50, 3600, "COST", cost)
except redis.RedisError as error:
    sys.exit(f"unchecked: {error}")
allowed, limit, remaining, retry_after_ms, reset_after_ms = reply[:5]  # more may follow
if allowed:
    print(f"allowed, {remaining} remaining")
elif retry_after_ms == -1:
    print("denied, can never pass")
else:
    print(f"denied, retry in {retry_after_ms} ms")
