<?php
// check.php key [cost]: 5 calls a minute and 50 an hour, with the extension redis (phpredis).
[$key, $cost] = [$argv[1], $argv[2] ?? 1];
$url = parse_url(getenv('REDIS_URL') ?: 'redis://127.0.0.1:6379');
$redis = new Redis();
try {
    // At most 1 s to connect and 1 s for a reply.
    @$redis->connect($url['host'], $url['port'] ?? 6379, 1.0, null, 0, 1.0);
    // Never send a check twice: it may have been counted. An older phpredis lacks the option.
    if (defined('Redis::OPT_MAX_RETRIES')) $redis->setOption(Redis::OPT_MAX_RETRIES, 0);
    $reply = $redis->rawCommand('RATELIMIT.CHECK', $key, 5, 60, 50, 3600, 'COST', $cost);
    if ($reply === false) throw new RedisException($redis->getLastError()); // an error reply
} catch (RedisException $error) {
    fwrite(STDERR, "unchecked: {$error->getMessage()}\n"); // let it pass or deny it: your choice
    exit(1);
}
[$allowed, $limit, $remaining, $retry_after_ms, $reset_after_ms] = $reply; // more may follow
if ($allowed) echo "allowed, $remaining remaining\n";
elseif ($retry_after_ms === -1) echo "denied, can never pass\n";
else echo "denied, retry in $retry_after_ms ms\n";
