"""check.py key [cost]: 5 calls a minute and 50 an hour, with the Python client redis."""
import os
import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# For a cluster: REDIS_CLUSTER=1, and the URL of any of its nodes.
Client = redis.RedisCluster if os.environ.get("REDIS_CLUSTER") else redis.Redis
url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
# No retries: a call that timed out may have been counted, and a second one would count again.
options = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 0)}
key, cost = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else 1
try:
    client = Client.from_url(url, **options)
    reply = client.execute_command("RATELIMIT.CHECK", key, 5, 60, 50, 3600, "COST", cost)
except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
    # unreachable, too slow, or an error reply
    sys.exit(f"unchecked: {error}")  # let it pass or deny it: your choice
allowed, limit, remaining, retry_after_ms, reset_after_ms = reply[:5]  # more may follow
if allowed:
    print(f"allowed, {remaining} remaining")
elif retry_after_ms == -1:
    print("denied, can never pass")
else:
    print(f"denied, retry in {retry_after_ms} ms")
