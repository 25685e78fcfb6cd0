-- What is counted of shells that keep nothing themselves: sums in one hash, and who is being answered, each with
-- the time at which nobody waits for his end any more.

local MONTH = 2592000000
local DAY = 86400000

-- A number that cannot grow is told, and spoils nothing else: what a call owes matters more.
local function add_up(sums)
  for _ = 1, number() do
    local field, by = text(), text()
    local outcome = redis.pcall('HINCRBY', sums, field, by)
    if type(outcome) == 'table' then fault() end
  end
  if redis.call('PTTL', sums) < MONTH - DAY then
    redis.call('PEXPIRE', sums, MONTH)
  end
end

local function enter(present, id, hold)
  redis.call('ZREMRANGEBYSCORE', present, '-inf', now)
  clamp_holds(present, hold)
  hold_place(present, id, hold)
end

local function leave(present, id)
  redis.call('ZREM', present, id)
end
