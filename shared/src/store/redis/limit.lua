-- The steps of rate.rs and account.rs.
--
-- An account is a hash with a field for each rate, `r1` … of requests and `t1` … of tokens: debt, unit and time in
-- MessagePack, in units of the rate and in milliseconds. Its holds are a sorted set: call, and when it is held no more.

local here = over(now, 1000)

local function read_scopes()
  local scopes = {}
  for at = 1, number() do
    local scope = { account = key(), most = number(), meters = {} }
    if scope.most >= 0 then scope.holds = key() end
    for place = 1, number() do
      local field, rate = text(), { count = number(), unit = number(), drain = number() }
      rate.capacity = rate.count * rate.unit
      scope.meters[place] = { field = field, kind = string.sub(field, 1, 1), rate = rate }
    end
    scopes[at] = scope
  end
  return scopes
end

-- Units of an amount; more than can be counted is as much as can be counted.
local function units(rate, amount)
  return math.min(amount * rate.unit, EXACT)
end

-- The debt as it is now, the time it was counted at, and whether that lay ahead.
local function run_off(kept, rate)
  local debt, unit, at = 0, 0, 0
  if kept then
    local is_read, a, b, c, more = pcall(cmsgpack.unpack, kept)
    if is_read and type(a) == 'number' and type(b) == 'number' and type(c) == 'number' and not more then
      debt, unit, at = a, b, c
    else
      fault()
    end
  end
  if unit ~= rate.unit then
    if unit > 0 then debt = math.min(over_rounded_up(debt, unit) * rate.unit, EXACT) end
  end
  -- Of a time that lies ahead nothing has run off.
  return math.max(debt - math.max(here - at, 0) * rate.drain, 0), here, at > here
end

local function remaining(rate, debt)
  return over(math.max(rate.capacity - debt, 0), rate.unit)
end

-- The meters of a scope, of one kind if it is named, with their debts now.
local function load_meters(scope, kind)
  local meters, asked = {}, { 'HMGET', scope.account }
  for _, meter in ipairs(scope.meters) do
    if not kind or meter.kind == kind then
      meters[#meters + 1] = meter
      asked[#asked + 1] = meter.field
    end
  end
  if #meters == 0 then return meters end
  local kept = redis.call(unpack(asked))
  for at, meter in ipairs(meters) do
    meter.debt, meter.at, meter.is_ahead = run_off(kept[at], meter.rate)
  end
  return meters
end

local function load_scopes(scopes)
  for _, scope in ipairs(scopes) do
    load_meters(scope)
  end
end

-- Which of the meters of a kind does not have `amount`: its place, what is used, and the wait in milliseconds,
-- -1 for ever.
local function refusing(scope, kind, amount)
  for _, meter in ipairs(scope.meters) do
    if meter.kind == kind then
      local rate, wanted = meter.rate, units(meter.rate, amount)
      local after, place = meter.debt + wanted, tonumber(string.sub(meter.field, 2))
      local used = rate.count - remaining(rate, meter.debt)
      if wanted > rate.capacity then
        return place, used, -1
      elseif after > rate.capacity then
        return place, used, over_rounded_up(after - rate.capacity, rate.drain)
      end
    end
  end
end

-- The first scope that refuses: its place, what is limited, the rate's place, what is used, the wait.
local function denied(scopes, tokens, hold)
  for place, scope in ipairs(scopes) do
    if scope.most >= 0 then
      local held = count_holds(scope.holds, hold)
      if held >= scope.most then return { place, 0, 0, held, wait_for_place(scope.holds) } end
    end
    local at, used, wait = refusing(scope, 'r', 1)
    if at then return { place, 1, at, used, wait } end
    at, used, wait = refusing(scope, 't', tokens)
    if at then return { place, 2, at, used, wait } end
  end
end

local function take(scopes, tokens)
  for _, scope in ipairs(scopes) do
    for _, meter in ipairs(scope.meters) do
      meter.debt = meter.debt + units(meter.rate, meter.kind == 'r' and 1 or tokens)
    end
  end
end

-- Writes them all at once, and lets the account live until the last of them has run off.
local function keep_meters(scope, meters)
  if #meters == 0 then return end
  local written, life = { 'HSET', scope.account }, 0
  for _, meter in ipairs(meters) do
    written[#written + 1] = meter.field
    written[#written + 1] = cmsgpack.pack(meter.debt, meter.rate.unit, meter.at)
    life = math.max(life, over_rounded_up(meter.debt, meter.rate.drain))
  end
  redis.call(unpack(written))
  extend(scope.account, life)
end

-- Writes what was taken down.
local function keep_scopes(scopes, id, hold)
  for _, scope in ipairs(scopes) do
    keep_meters(scope, scope.meters)
    if scope.most >= 0 then hold_place(scope.holds, id, hold) end
  end
end

-- Of a call that was refused nothing is taken, but who waits shall not wait for the clock: debts that were counted
-- ahead run off from now on.
local function keep_clamped(scopes, place)
  for at = 1, place do
    local ahead = {}
    for _, meter in ipairs(scopes[at].meters) do
      if meter.is_ahead then ahead[#ahead + 1] = meter end
    end
    keep_meters(scopes[at], ahead)
  end
end

local function put_left(scopes, kind)
  local tightest, least
  for _, scope in ipairs(scopes) do
    for _, meter in ipairs(scope.meters) do
      if meter.kind == kind then
        local left = remaining(meter.rate, meter.debt)
        if not least or left < least then tightest, least = meter, left end
      end
    end
  end
  if not tightest then return put(-1) end
  put(tightest.rate.count)
  put(least)
  put(over_rounded_up(tightest.debt, tightest.rate.drain))
end

local function put_denied(scopes, refusal, reserved)
  put(1)
  for _, part in ipairs(refusal) do put(part) end
  put(reserved)
  put_left(scopes, 'r')
  put_left(scopes, 't')
end

-- Takes a reservation without tokens back as if it had never been made.
local function undo(scopes, id)
  for _, scope in ipairs(scopes) do
    local meters = load_meters(scope, 'r')
    for _, meter in ipairs(meters) do
      meter.debt = math.max(meter.debt - units(meter.rate, 1), 0)
    end
    keep_meters(scope, meters)
    if scope.most >= 0 then redis.call('ZREM', scope.holds, id) end
  end
end

-- Trues the reservation of a call up to what it used, in an account that was forgotten meanwhile as well. Of a call
-- whose end may have been told before, only where it holds a place still.
local function settle(scopes, id, reserved, used, again)
  if again and not holds_any(scopes, id) then return end
  for _, scope in ipairs(scopes) do
    local meters = load_meters(scope, 't')
    for _, meter in ipairs(meters) do
      local owed = math.min(meter.debt + units(meter.rate, used), EXACT)
      meter.debt = math.max(owed - units(meter.rate, reserved), 0)
    end
    keep_meters(scope, meters)
    if scope.most >= 0 then redis.call('ZREM', scope.holds, id) end
  end
end
