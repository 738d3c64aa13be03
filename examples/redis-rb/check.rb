# check.rb key [cost]: 5 calls a minute and 50 an hour, with the gem redis.
require "redis"

# No second attempt: a call that timed out may have been counted.
url = ENV.fetch("REDIS_URL", "redis://127.0.0.1:6379")
redis = Redis.new(url: url, timeout: 1, reconnect_attempts: 0)
key, cost = ARGV
begin
  reply = redis.call("RATELIMIT.CHECK", key, 5, 60, 50, 3600, "COST", cost || 1)
rescue Redis::BaseError => error # unreachable, too slow, or an error reply
  abort "unchecked: #{error.message}" # let it pass or deny it: your choice
end
allowed, _limit, remaining, retry_after_ms, _reset_after_ms = reply # more may follow
if allowed == 1
  puts "allowed, #{remaining} remaining"
elsif retry_after_ms == -1
  puts "denied, can never pass"
else
  puts "denied, retry in #{retry_after_ms} ms"
end
