-- The fixed-window limiter as many articles show it: it counts with GET, SET ... EX and INCR.
-- KEYS[1] the counter; ARGV[1] the limit, ARGV[2] the window in seconds.
-- Returns 1 if allowed, else 0. It says neither how much remains nor how long to wait.
local count = redis.call('GET', KEYS[1])
if not count then
  redis.call('SET', KEYS[1], 1, 'EX', ARGV[2])
  return 1
end
if tonumber(count) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('INCR', KEYS[1])
return 1
