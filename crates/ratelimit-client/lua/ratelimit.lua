-- RATELIMIT.CHECK and RATELIMIT.PEEK as a script, for servers where no module may be loaded.
--
--   EVALSHA sha 1 key CHECK|PEEK limit window [limit window ...]
--     [ALGORITHM FIXED|SLIDING|BUCKET] [BURST burst] [COST cost]
--
-- Arguments, decisions, stored state, reply and error texts are those of the native commands; both
-- can work on the same keys. A limit, burst or cost is at most 10^12; a window is 1ms to 366d, in
-- seconds where it has no unit. The reply:
--
--   allowed (1 or 0), limit, remaining, retry_after_ms (-1: never), reset_after_ms
--
-- With several pairs these speak for the binding one, and a sixth element lists
-- [limit, remaining, retry_after_ms, reset_after_ms] for each. `CHECK 10 60` as the sixth call of a
-- window that ends in 12 s is answered 1 10 4 0 12000.
--
-- An allowed CHECK is one `SET key state PXAT t`; a denial, a PEEK and an error write nothing. The
-- one difference: at maxmemory every call that would be allowed is answered the server's -OOM,
-- where the native command refuses only new keys.
--
-- For Redis 7.0 and later and Valkey, on 64 bits. Their Lua counts in doubles, exact below 2^53:
-- every product that may pass that goes through mul_div. A local that a function captures costs
-- each call more than a look-up of a global, so the functions are few and capture little.

local refuse = redis.error_reply

local SYNTAX = 'ERR syntax error'
local FOREIGN = "ERR key holds a string that is not a rate limiter's state"
local MAX_PAIRS = 8
local MAX_LIMIT = 1000000000000
local MAX_WINDOW_MS = 366 * 86400000
local MAX_REFILL_MS = 3660 * 86400000
local MAX_STORED = 2 ^ 53 - 1

-- Numbers ----------------------------------------------------------------------------------------

-- `0|[1-9][0-9]*` between two bounds, or nil. Conversion alone would take 0x1F, 1e5 and spaces too.
-- Above 2^53 it rounds, but never to below that, so that no bound is passed unnoticed.
local function integer(word, least, most)
  if not word:find('^[1-9]%d*$') and word ~= '0' then return nil end
  local number = word + 0
  return number >= least and number <= most and number or nil
end

-- floor((a * b + c) / d) and the remainder, exact while each of the five is below 2^50: then the
-- quotient in doubles is at most 1 off, and the remainder a * b + c - quotient * d, taken in limbs
-- of 24 bits where every step is exact, says which way.
local function mul_div(a, b, c, d)
  local product = a * b + c
  local q = math.floor(product / d)
  if product < 2 ^ 53 then return q, product - q * d end
  local limb = 2 ^ 24
  local a0, b0, q0, d0 = a % limb, b % limb, q % limb, d % limb
  local a1, b1, q1, d1 = (a - a0) / limb, (b - b0) / limb, (q - q0) / limb, (d - d0) / limb
  local high = a1 * b1 - q1 * d1
  local middle = a1 * b0 + a0 * b1 - q1 * d0 - q0 * d1
  local low = a0 * b0 - q0 * d0 + c
  local remainder = (high * limb + middle) * limb + low
  if remainder < 0 then return q - 1, remainder + d end
  if remainder >= d then return q + 1, remainder - d end
  return q, remainder
end

-- Arguments, judged from left to right -----------------------------------------------------------

local verb = string.upper(ARGV[1] or '')
if verb ~= 'CHECK' and verb ~= 'PEEK' then return refuse(SYNTAX) end
if #KEYS ~= 1 or #ARGV < 3 then
  local command = 'ratelimit.' .. verb:lower()
  return refuse("ERR wrong number of arguments for '" .. command .. "' command")
end

local policy = {} -- the pairs, in the order given; windows in microseconds
local at = 2
repeat
  if #policy == MAX_PAIRS then return refuse('ERR limit and window pairs must be at most 8') end
  local limit = integer(ARGV[at], 0, MAX_LIMIT)
  if not limit then return refuse('ERR limit must be an integer between 0 and 1000000000000') end
  if not ARGV[at + 1] then return refuse(SYNTAX) end
  local number, unit = ARGV[at + 1]:match('^(%d+)(%a*)$')
  local unit_ms = unit == '' and 1000
    or ({ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000})[unit]
  local count = unit_ms and integer(number, 1, MAX_WINDOW_MS / unit_ms)
  if not count then
    return refuse('ERR window must be an integer with an optional unit ms, s, m, h or d, '
      .. 'between 1ms and 366d')
  end
  local window = count * unit_ms * 1000
  for i = 1, #policy do
    if policy[i].window == window then return refuse('ERR windows must all be different') end
  end
  policy[#policy + 1] = {limit = limit, burst = limit, window = window}
  at = at + 2
until not ARGV[at] or not ARGV[at]:find('^%d')

local tag, burst, cost -- the tag is that of the algorithm's stored state
while ARGV[at] do
  local option, value = ARGV[at]:upper(), ARGV[at + 1]
  if not value then return refuse(SYNTAX) end
  if option == 'ALGORITHM' and not tag then
    tag = ({FIXED = 'f1', SLIDING = 's1', BUCKET = 'b1'})[value:upper()]
    if not tag then return refuse('ERR algorithm must be FIXED, SLIDING or BUCKET') end
  elseif option == 'BURST' and not burst then
    burst = integer(value, 1, MAX_LIMIT)
    if not burst then return refuse('ERR burst must be an integer between 1 and 1000000000000') end
  elseif option == 'COST' and not cost then
    cost = integer(value, 1, MAX_LIMIT)
    if not cost then return refuse('ERR cost must be an integer between 1 and 1000000000000') end
  else
    return refuse(SYNTAX)
  end
  at = at + 2
end
tag, cost = tag or 'f1', cost or 1

if burst then
  local pair = policy[1]
  if tag ~= 'b1' then return refuse('ERR burst requires ALGORITHM BUCKET') end
  if #policy > 1 then return refuse('ERR burst requires a single limit and window pair') end
  local least, rest = mul_div(burst, pair.window / 1000, 0, MAX_REFILL_MS)
  if least + (rest > 0 and 1 or 0) > pair.limit then
    return refuse('ERR burst must refill within 3660d: burst x window must be at most '
      .. 'limit x 3660d')
  end
  pair.burst = burst
end

local ascending = policy -- the pairs by window, as their states are stored
if #policy > 1 then
  ascending = {unpack(policy)}
  table.sort(ascending, function(a, b) return a.window < b.window end)
end

-- The server's clock, in microseconds ------------------------------------------------------------
--
-- Room for twice the longest refill keeps every sum of a moment and a wait below 2^53.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now < 0 or now > MAX_STORED - 2 * MAX_REFILL_MS * 1000 then
  return refuse('ERR server clock is out of range')
end
local now_ms = math.floor(now / 1000)

-- What is stored ---------------------------------------------------------------------------------
--
--   17                                                  FIXED, one pair: the count
--   f1 <window_us> <end_ms> <count> ...                 FIXED, two pairs to eight
--   s1 <window_us> <start_us> <previous> <current> ...  SLIDING
--   b1 <window_us> <tat_us> <remainder> ...             BUCKET

local key = KEYS[1]
local value = redis.pcall('GET', key)
if type(value) == 'table' then return value end -- the server's own error, such as WRONGTYPE
local expiry_ms = value and redis.call('PEXPIRETIME', key)
if expiry_ms == -1 then return refuse("ERR key has no expiry, so it is not a rate limiter's") end

local stored_tag, stored = tag, {} -- four numbers a group; of f1 and b1, the fourth means nothing
if value then
  if expiry_ms > MAX_STORED then return refuse(FOREIGN) end
  local count = integer(value, 0, MAX_STORED)
  if count then
    stored_tag, stored = 'f1', {0, expiry_ms, count, 0}
    -- A plain count knows its end but not its window. It belongs to the shortest called window
    -- that is not shorter than its time left, else to the longest.
    for i = 1, #ascending do
      stored[1] = ascending[i].window
      if stored[1] / 1000 >= expiry_ms - now_ms then break end
    end
  else
    stored_tag = value:sub(1, 2)
    local most = ({f1 = MAX_STORED, s1 = MAX_LIMIT, b1 = MAX_LIMIT - 1})[stored_tag]
    if not most or value:find(' 0%d') then return refuse(FOREIGN) end
    local group = stored_tag == 's1' and '^ (%d+) (%d+) (%d+) (%d+)()' or '^ (%d+) (%d+) (%d+)()()'
    local last, from = 0, 3
    repeat
      local window, a, b, c, behind = value:match(group, from)
      if not window or #stored == 4 * MAX_PAIRS then return refuse(FOREIGN) end
      window, a, b, c = window + 0, a + 0, b + 0, c + 0
      if window <= last or window > MAX_WINDOW_MS * 1000 or window % 1000 > 0
        or a > MAX_STORED or b > most or c > MAX_LIMIT then
        return refuse(FOREIGN)
      end
      local n = #stored
      stored[n + 1], stored[n + 2], stored[n + 3], stored[n + 4] = window, a, b, c
      last, from = window, behind
    until from > #value
    if stored_tag == 'f1' and #stored == 4 then return refuse(FOREIGN) end
  end
  -- A state that has reached its key's expiry is over, even where the server still shows it.
  if expiry_ms <= now_ms then stored_tag, stored = tag, {} end
end
if stored_tag ~= tag then return refuse('ERR key holds the state of another algorithm') end

-- The numbers that are stored for a pair, or none. One pair called and one stored are the same
-- limit, even if its window was changed. Otherwise the windows tell which is which.
local function stored_for(pair)
  if #stored == 4 and #policy == 1 then return unpack(stored) end
  for i = 1, #stored, 4 do
    if stored[i] == pair.window then return unpack(stored, i, i + 3) end
  end
end

-- The algorithms ---------------------------------------------------------------------------------
--
-- step carries what is stored for a pair to now. Where the cost does not fit it says when it will,
-- else it consumes it, if it is to. It returns remaining, retry_after_ms, reset_after_ms, and of
-- what is to be stored the end, in milliseconds, and the text, which is nil if nothing is.

local step

if tag == 'f1' then
  -- FIXED: a counter that opens with the first allowed call and ends one window later. All is in
  -- whole milliseconds, because the end is the key's own expiry. An open window keeps its end,
  -- whatever the call's window; the next one has the new length.
  function step(pair, consumes, _, end_ms, count)
    if not end_ms or end_ms <= now_ms then end_ms, count = now_ms, 0 end
    local retry_after_ms, text = 0, nil
    if cost > pair.limit then
      retry_after_ms = -1
    elseif count > pair.limit - cost then
      retry_after_ms = end_ms - now_ms
    elseif consumes then
      if end_ms == now_ms then end_ms = now_ms + pair.window / 1000 end
      count = count + cost
      text = #policy == 1 and ('%d'):format(count)
        or (' %d %d %d'):format(pair.window, end_ms, count)
    end
    return math.max(0, pair.limit - count), retry_after_ms, end_ms - now_ms, end_ms, text
  end

elseif tag == 's1' then
  -- SLIDING: two adjoining windows, the previous one counted by the share of it that a window
  -- ending now still covers: used = current + ceil(previous * (window - elapsed) / window).
  function step(pair, consumes, window, start, previous, current)
    if not window then window, start, previous, current = pair.window, now, 0, 0 end
    -- A clock before the start refunds nothing. From one window on, current becomes previous; from
    -- two on, all is over.
    local elapsed = math.max(0, now - start)
    if elapsed >= window then
      start, elapsed, previous, current = start + window, elapsed - window, current, 0
    end
    if elapsed >= window or previous + current == 0 then
      window, start, elapsed, previous, current = pair.window, now, 0, 0, 0
    end
    local share, rest = mul_div(previous, window - elapsed, 0, window)
    local used = current + share + (rest > 0 and 1 or 0)

    local retry_after_ms, text = 0, nil
    if cost > pair.limit then
      retry_after_ms = -1
    elseif used > pair.limit - cost then
      -- Until so little of previous is covered that it fits the room that current leaves; or, where
      -- current alone is too much, so little of that, one window later.
      local room, count, windows = pair.limit - cost - current, previous, 1
      if room < 0 then room, count, windows = room + current, current, 2 end
      local covered = mul_div(room, window, 0, count)
      retry_after_ms = windows * window / 1000 + math.ceil((start - covered - now) / 1000)
    elseif consumes then
      -- Another window than the stored one opens now, and takes the usage along.
      if window ~= pair.window then
        window, start, previous, current = pair.window, now, 0, used
      end
      current, used = current + cost, used + cost
      text = (' %d %d %d %d'):format(window, start, previous, current)
    end

    local left_ms = (current > 0 and 2 or previous > 0 and 1 or 0) * window / 1000
    return math.max(0, pair.limit - used), retry_after_ms,
      left_ms + math.ceil((start - now) / 1000), left_ms + math.ceil(start / 1000), text
  end

else
  -- BUCKET: up to burst tokens, refilled continuously at limit per window, kept as the theoretical
  -- arrival time (TAT) of the generic cell rate algorithm: when the bucket will be full, in
  -- microseconds and a remainder in 1/limit of one. debt = TAT - now; a token is window / limit.
  function step(pair, consumes, _, tat, remainder)
    local limit, capacity, window = pair.limit, pair.burst, pair.window
    -- A TAT in the past is no debt. A remainder that the limit does not have counts as one more
    -- microsecond.
    if not tat or tat < now then tat, remainder = now, 0 end
    if remainder > 0 and remainder >= limit then tat, remainder = tat + 1, 0 end
    local debt = tat - now

    local retry_after_ms, text = 0, nil
    if cost > capacity then
      retry_after_ms = -1
    else
      -- What the debt is above that which leaves room for the cost, rounded up.
      local room, rest = mul_div(capacity - cost, window, 0, limit)
      local excess = debt - room + (remainder > rest and 1 or 0)
      if excess > 0 then
        retry_after_ms = math.ceil(excess / 1000)
      elseif consumes then
        local interval
        interval, remainder = mul_div(cost, window, remainder, limit)
        debt = debt + interval
        text = (' %d %d %d'):format(window, now + debt, remainder)
      end
    end

    -- Beyond the bounds of mul_div a planted debt is more than twice what the bucket can hold.
    local missing, part = mul_div(debt, limit, remainder, window)
    local remaining = capacity - missing - (part > 0 and 1 or 0)
    local left = debt + (remainder > 0 and 1 or 0)
    return math.max(0, remaining), retry_after_ms,
      math.ceil(left / 1000), math.ceil((now + left) / 1000), text
  end
end

-- Decision, write and reply ----------------------------------------------------------------------

local checks = verb == 'CHECK'
local reply, state, end_ms

if #policy == 1 then
  local pair = policy[1]
  local remaining, retry_after_ms, reset_after_ms, text
  remaining, retry_after_ms, reset_after_ms, end_ms, text = step(pair, checks, stored_for(pair))
  reply = {retry_after_ms == 0 and 1 or 0, pair.burst, remaining, retry_after_ms, reset_after_ms}
  state = text and (tag == 'f1' and text or tag .. text)
else
  -- All pairs allow, or none consumes.
  local denied = false
  for _, pair in ipairs(policy) do
    local remaining, retry_after_ms, reset_after_ms = step(pair, false, stored_for(pair))
    pair.answer = {pair.burst, remaining, retry_after_ms, reset_after_ms}
    denied = denied or retry_after_ms ~= 0
  end
  if checks and not denied then
    state, end_ms = tag, 0
    for _, pair in ipairs(ascending) do
      local remaining, _, reset_after_ms, pair_end_ms, text = step(pair, true, stored_for(pair))
      pair.answer = {pair.burst, remaining, 0, reset_after_ms}
      state, end_ms = state .. text, math.max(end_ms, pair_end_ms)
    end
  end

  -- Denied: the longest wait, never being longest. Allowed: the smallest remaining, then the
  -- longest reset. Then the first given.
  local function binds_more(a, b)
    if denied then return b[3] >= 0 and (a[3] < 0 or a[3] > b[3]) end
    return a[2] < b[2] or a[2] == b[2] and a[4] > b[4]
  end
  local answers, binding = {}, policy[1].answer
  for i, pair in ipairs(policy) do
    answers[i] = pair.answer
    if binds_more(pair.answer, binding) then binding = pair.answer end
  end
  reply = {denied and 0 or 1, binding[1], binding[2], binding[3], binding[4], answers}
end

if state then
  local written = redis.pcall('SET', key, state, 'PXAT', ('%d'):format(end_ms))
  if written.err then return written end -- the server's own error, such as -OOM
end
return reply
