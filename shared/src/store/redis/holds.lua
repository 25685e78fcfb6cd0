-- Places of calls in flight: a sorted set for each account, call and when its lease ends (account.rs).

local SILENT = 18000000

-- No lease lasts longer than from now on: one that does was taken by a clock that was ahead.
local function clamp_holds(holds, hold)
  local ahead = redis.call('ZRANGEBYSCORE', holds, '(' .. whole(now + hold), '+inf')
  for _, id in ipairs(ahead) do redis.call('ZADD', holds, now + hold, id) end
end

local function count_holds(holds, hold)
  redis.call('ZREMRANGEBYSCORE', holds, '-inf', now)
  clamp_holds(holds, hold)
  return redis.call('ZCARD', holds)
end

-- A moment, as long as one of them says that it is under way; else until the first has run out. In milliseconds.
local function wait_for_place(holds)
  if redis.call('ZCOUNT', holds, '(' .. whole(now + SILENT), '+inf') > 0 then return 500 end
  local first = redis.call('ZRANGEBYSCORE', holds, now + 1, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return first[2] and millis(first[2] - now) or 500
end

local function hold_place(holds, id, hold)
  redis.call('ZADD', holds, now + hold, id)
  extend(holds, millis(hold))
end

-- Whether the call holds a place in one of the scopes.
local function holds_any(scopes, id)
  for _, scope in ipairs(scopes) do
    local till = scope.most >= 0 and redis.call('ZSCORE', scope.holds, id)
    if till and tonumber(till) > now then return true end
  end
  return false
end
