-- Rate limiting for servers that may not load the module: the commands RATELIMIT.CHECK and
-- RATELIMIT.PEEK as one Lua script. The script decides as the module does, and both can work on the
-- same keys: arguments, decisions, stored state, reply and error texts are the same.
--
-- Call:
--
--   EVALSHA sha 1 key CHECK|PEEK limit window [limit window ...]
--     [ALGORITHM FIXED|SLIDING|BUCKET] [BURST burst] [COST cost]
--
--   limit   the cost that one window allows: 0 to 10^12
--   window  the length of the window: 1ms to 366d, in seconds if it has no unit
--   burst   the capacity of a bucket: 1 to 10^12; without it, the limit
--   cost    the cost of this call: 1 to 10^12; without it, 1
--
-- Reply:
--
--   allowed (1 or 0), limit, remaining, retry_after_ms (-1: never), reset_after_ms
--
-- If the call has several pairs of limit and window, these numbers are those of the binding pair,
-- and a sixth element lists [limit, remaining, retry_after_ms, reset_after_ms] for each pair.
--
-- Example: five calls are counted, and the window ends in 12 s. `CHECK 10 60` counts the sixth call
-- and replies 1 10 4 0 12000.
--
-- An allowed CHECK writes once: `SET key state PXAT t`. A denied CHECK, a PEEK and an error write
-- nothing.
--
-- One thing differs from the module. When the server has reached maxmemory, it answers -OOM to
-- every call that the script would allow. The module gets that error for new keys only.
--
-- The script needs Redis 7.0 or later, or Valkey, on a 64-bit machine. Numbers in their Lua are
-- doubles, which are exact below 2^53. A product that can be larger goes through mul_div.
--
-- The whole script runs again for every call. Every function is then made anew, and every outer
-- local that it uses is bound to it, which costs more than looking up a global. So there are few
-- functions, and they use few outer locals.

local fail = redis.error_reply

-- An older server lacks commands that the script calls later, when the call may have been counted.
if not redis.REDIS_VERSION_NUM then
  return fail('ERR the script needs Redis 7.0 or later, or Valkey')
end

local SYNTAX = 'ERR syntax error'
local FOREIGN = "ERR key holds a string that is not a rate limiter's state"
local MAX_PAIRS = 8
local MAX_LIMIT = 1000000000000
local MAX_WINDOW_MS = 366 * 86400000
local MAX_REFILL_MS = 3660 * 86400000
local MAX_STORED = 2 ^ 53 - 1

-- Numbers ----------------------------------------------------------------------------------------

-- The number that a word spells, or nil. The word must be `0` or match `[1-9][0-9]*`, and the
-- number must lie between the two bounds. Lua's own conversion would also accept 0x1F, 1e5 and
-- spaces. A word above 2^53 is rounded, but never to a number below 2^53. All bounds are below
-- 2^53, so such a word is always found to be too large.
local function integer(word, minimum, maximum)
  if not word:find('^[1-9]%d*$') and word ~= '0' then return nil end
  local number = word + 0
  return number >= minimum and number <= maximum and number or nil
end

-- floor((a * b + c) / d), and the remainder of this division. The result is exact while a, b, c, d
-- and the quotient are below 2^50.
--
-- In doubles, the quotient q is then wrong by 1 at most. The remainder a * b + c - q * d shows in
-- which direction: it is negative, or at least d. To compute the remainder exactly, each factor is
-- split into a low limb of 24 bits (a0) and the rest (a1).
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

-- Arguments, checked from left to right: the first wrong word decides the error ------------------

local verb = string.upper(ARGV[1] or '')
if verb ~= 'CHECK' and verb ~= 'PEEK' then return fail(SYNTAX) end
if #KEYS ~= 1 or #ARGV < 3 then
  local command = 'ratelimit.' .. verb:lower()
  return fail("ERR wrong number of arguments for '" .. command .. "' command")
end

local policy = {} -- the pairs in the order given; `window` is in microseconds
local position = 2 -- of the next argument
repeat
  if #policy == MAX_PAIRS then return fail('ERR limit and window pairs must be at most 8') end
  local limit = integer(ARGV[position], 0, MAX_LIMIT)
  if not limit then return fail('ERR limit must be an integer between 0 and 1000000000000') end
  if not ARGV[position + 1] then return fail(SYNTAX) end
  local number, unit = ARGV[position + 1]:match('^(%d+)(%a*)$')
  local unit_ms = unit == '' and 1000
    or ({ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000})[unit]
  local count = unit_ms and integer(number, 1, MAX_WINDOW_MS / unit_ms)
  if not count then
    return fail('ERR window must be an integer with an optional unit ms, s, m, h or d, '
      .. 'between 1ms and 366d')
  end
  local window = count * unit_ms * 1000
  for i = 1, #policy do
    if policy[i].window == window then return fail('ERR windows must all be different') end
  end
  policy[#policy + 1] = {limit = limit, burst = limit, window = window}
  position = position + 2
until not ARGV[position] or not ARGV[position]:find('^%d')

local tag, burst, cost -- the tag names the algorithm: the stored state begins with it
while ARGV[position] do
  local option, value = ARGV[position]:upper(), ARGV[position + 1]
  if not value then return fail(SYNTAX) end
  if option == 'ALGORITHM' and not tag then
    tag = ({FIXED = 'f1', SLIDING = 's1', BUCKET = 'b1'})[value:upper()]
    if not tag then return fail('ERR algorithm must be FIXED, SLIDING or BUCKET') end
  elseif option == 'BURST' and not burst then
    burst = integer(value, 1, MAX_LIMIT)
    if not burst then return fail('ERR burst must be an integer between 1 and 1000000000000') end
  elseif option == 'COST' and not cost then
    cost = integer(value, 1, MAX_LIMIT)
    if not cost then return fail('ERR cost must be an integer between 1 and 1000000000000') end
  else
    return fail(SYNTAX)
  end
  position = position + 2
end
tag, cost = tag or 'f1', cost or 1

if burst then
  local pair = policy[1]
  if tag ~= 'b1' then return fail('ERR burst requires ALGORITHM BUCKET') end
  if #policy > 1 then return fail('ERR burst requires a single limit and window pair') end
  -- burst x window <= limit x 3660d, divided by 3660d and rounded up.
  local minimum, rest = mul_div(burst, pair.window / 1000, 0, MAX_REFILL_MS)
  if minimum + (rest > 0 and 1 or 0) > pair.limit then
    return fail('ERR burst must refill within 3660d: burst x window must be at most '
      .. 'limit x 3660d')
  end
  pair.burst = burst
end

local ascending = policy -- the pairs in the order in which they are stored: shortest window first
if #policy > 1 then
  ascending = {unpack(policy)}
  table.sort(ascending, function(a, b) return a.window < b.window end)
end

-- The time ---------------------------------------------------------------------------------------
--
-- The server's clock, in microseconds since 1970. It must leave room for twice the longest refill
-- below 2^53: then every sum of a moment and a wait stays exact.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now < 0 or now > MAX_STORED - 2 * MAX_REFILL_MS * 1000 then
  return fail('ERR server clock is out of range')
end
local now_ms = math.floor(now / 1000)

-- The stored state -------------------------------------------------------------------------------
--
-- The value of the key has one of four forms. After the tag there is one group of numbers for each
-- pair, in ascending order of their windows. <window_us> is the pair's window in microseconds.
--
--   17                                                  FIXED with one pair: only the count
--   f1 <window_us> <end_ms> <count> ...                 FIXED with two to eight pairs
--   s1 <window_us> <start_us> <previous> <current> ...  SLIDING
--   b1 <window_us> <tat_us> <remainder> ...             BUCKET
--
-- The algorithms below explain the other numbers.

local key = KEYS[1]
local value = redis.pcall('GET', key)
if type(value) == 'table' then return value end -- an error of the server, such as WRONGTYPE
local expiry_ms = value and redis.call('PEXPIRETIME', key)
if expiry_ms == -1 then return fail("ERR key has no expiry, so it is not a rate limiter's") end

-- `stored` holds four numbers for each group. Groups of f1 and b1 have three: there, the fourth
-- number has no meaning.
local stored_tag, stored = tag, {}
if value then
  if expiry_ms > MAX_STORED then return fail(FOREIGN) end
  local count = integer(value, 0, MAX_STORED)
  if count then
    stored_tag, stored = 'f1', {0, expiry_ms, count, 0}
    -- A plain count has an end, the key's expiry, but no window. It belongs to the shortest window
    -- of this call that is at least as long as the time left. If all are shorter, it belongs to the
    -- longest.
    for i = 1, #ascending do
      stored[1] = ascending[i].window
      if stored[1] / 1000 >= expiry_ms - now_ms then break end
    end
  else
    stored_tag = value:sub(1, 2)
    -- The bound of the third number: a count, a previous count, or a remainder.
    local third_max = ({f1 = MAX_STORED, s1 = MAX_LIMIT, b1 = MAX_LIMIT - 1})[stored_tag]
    if not third_max or value:find(' 0%d') then return fail(FOREIGN) end
    -- `()` captures a position. The first stands in for the fourth number, so that both patterns
    -- give five values.
    local group = stored_tag == 's1' and '^ (%d+) (%d+) (%d+) (%d+)()' or '^ (%d+) (%d+) (%d+)()()'
    local last_window, from = 0, 3
    repeat
      local window, second, third, fourth, next_group = value:match(group, from)
      if not window or #stored == 4 * MAX_PAIRS then return fail(FOREIGN) end
      window, second, third, fourth = window + 0, second + 0, third + 0, fourth + 0
      if window <= last_window or window > MAX_WINDOW_MS * 1000 or window % 1000 > 0
        or second > MAX_STORED or third > third_max or fourth > MAX_LIMIT then
        return fail(FOREIGN)
      end
      local n = #stored
      stored[n + 1], stored[n + 2], stored[n + 3], stored[n + 4] = window, second, third, fourth
      last_window, from = window, next_group
    until from > #value
    if stored_tag == 'f1' and #stored == 4 then return fail(FOREIGN) end
  end
  -- At its expiry a state is over, even if the server still shows the key.
  if expiry_ms <= now_ms then stored_tag, stored = tag, {} end
end
if stored_tag ~= tag then return fail('ERR key holds the state of another algorithm') end

-- The four numbers that are stored for a pair of this call, or nothing. If the call has one pair
-- and the state has one group, they belong together, even if the window has changed. Otherwise a
-- group belongs to the pair with the same window.
local function stored_for(pair)
  if #stored == 4 and #policy == 1 then return unpack(stored) end
  for i = 1, #stored, 4 do
    if stored[i] == pair.window then return unpack(stored, i, i + 3) end
  end
end

-- The algorithms ---------------------------------------------------------------------------------
--
-- step(pair, consumes, window, ...) decides for one pair. It carries the stored numbers (nil if the
-- pair has none) forward to now. If the cost does not fit, it computes the wait. If the cost fits
-- and `consumes` is true, it takes the cost. It returns
--
--   remaining, retry_after_ms, reset_after_ms   for the reply
--   end_ms                                      when the pair's state is over
--   text                                        the new state of the pair, or nil

local step

if tag == 'f1' then
  -- FIXED: a counter. The window opens with the first allowed call and ends one window later. All
  -- moments are whole milliseconds, because the end is the expiry of the key. If a call brings
  -- another window, the open window keeps its end and the next one has the new length.
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
  -- SLIDING: the counts of two windows, the previous one and the current one, which began at
  -- `start`. A window that ends now covers all of the current one and a share of the previous one:
  --
  --   used = current + ceil(previous * (window - elapsed) / window)
  function step(pair, consumes, window, start, previous, current)
    if not window then window, start, previous, current = pair.window, now, 0, 0 end
    -- A clock that stands before the start refunds nothing. After one window, current becomes
    -- previous. After two windows, both are over.
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
      -- `room` is what the limit leaves beside current. The call waits until the share of previous
      -- has shrunk to it. If `room` is negative, current must first become previous (one window
      -- later); then the call waits until *that* count has shrunk to `room + current`.
      local room, shrinking, windows_until_gone = pair.limit - cost - current, previous, 1
      if room < 0 then room, shrinking, windows_until_gone = room + current, current, 2 end
      local covered = mul_div(room, window, 0, shrinking)
      retry_after_ms = windows_until_gone * window / 1000
        + math.ceil((start - covered - now) / 1000)
    elseif consumes then
      -- If the call has another window than the state, that window opens now and starts with the
      -- usage so far.
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
  -- BUCKET: up to `burst` tokens, refilled continuously at `limit` tokens per window. The state is
  -- the theoretical arrival time (TAT) of the generic cell rate algorithm (GCRA): the moment when
  -- the bucket will be full again. It is kept in microseconds, plus a remainder in units of
  -- 1/limit microsecond. One token takes window / limit to refill, and debt = TAT - now.
  function step(pair, consumes, _, tat, remainder)
    local limit, capacity, window = pair.limit, pair.burst, pair.window
    -- A TAT in the past is no debt. A remainder that this limit cannot have (the limit was lowered)
    -- counts as one more microsecond.
    if not tat or tat < now then tat, remainder = now, 0 end
    if remainder > 0 and remainder >= limit then tat, remainder = tat + 1, 0 end
    local debt = tat - now

    local retry_after_ms, text = 0, nil
    if cost > capacity then
      retry_after_ms = -1
    else
      -- The cost fits if the debt is at most `room`. `excess` is how far the debt is above it, in
      -- microseconds, rounded up.
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

    -- Another client may have stored a debt beyond the bounds of mul_div. Such a debt is more than
    -- twice the capacity, so `remaining` is 0 even if `missing` is not exact.
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
  -- First every pair decides, then all consume, or none.
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

  -- The binding pair is, if the call is denied, the one with the longest wait (never, -1, is the
  -- longest). If the call is allowed, it is the one with the smallest remaining, then the longest
  -- reset. Of equal pairs, it is the first given.
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
  if written.err then return written end -- an error of the server, such as -OOM
end
return reply
