-- The sliding log: a sorted set with one member for each allowed call.
-- KEYS[1] the log; ARGV[1] the limit, ARGV[2] the window in seconds.
-- Returns {allowed, remaining}.
local limit = tonumber(ARGV[1])
local window = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - window * 1000000)
local count = redis.call('ZCARD', KEYS[1])
if count >= limit then
  return {0, 0}
end
redis.call('ZADD', KEYS[1], now, string.format('%.0f-%d', now, count))
redis.call('EXPIRE', KEYS[1], window)
return {1, limit - count - 1}
