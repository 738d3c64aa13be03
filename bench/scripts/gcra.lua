-- The generic cell rate algorithm as client libraries have it: one theoretical arrival time, as a
-- floating-point number.
-- KEYS[1] the arrival time; ARGV[1] the limit, ARGV[2] the window in seconds; the burst is the
-- limit. Returns {allowed, remaining, retry after, reset after}, the waits as strings of seconds.
local limit = tonumber(ARGV[1])
local interval = tonumber(ARGV[2]) / limit
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local new_tat = tat + interval
local room = now - (new_tat - interval * limit)
if room < 0 then
  return {0, 0, tostring(-room), tostring(tat - now)}
end
redis.call('SET', KEYS[1], string.format('%.6f', new_tat), 'EX', math.ceil(new_tat - now))
return {1, math.floor(room / interval), '0', tostring(new_tat - now)}
