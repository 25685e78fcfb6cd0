-- The steps of limit.rs and account.rs.
--
-- An account is a hash with a field for each rate, `r1` … of requests and `t1` … of tokens: debt, unit and time in
-- MessagePack, in units of the rate and in milliseconds. Its holds are a sorted set: call, and when it is held no more.

local here = over(now, 1000)

local function read_rates()
  local rates = {}
  for at = 1, number() do
    local rate = { count = number(), unit = number(), drain = number() }
    rate.capacity = rate.count * rate.unit
    rates[at] = rate
  end
  return rates
end

local function read_scopes()
  local scopes = {}
  for at = 1, number() do
    local scope = { account = key(), holds = key(), most = number() }
    scope.requests, scope.tokens = read_rates(), read_rates()
    scopes[at] = scope
  end
  return scopes
end

-- Units of an amount; more than can be counted is as much as can be counted.
local function units(rate, amount)
  return math.min(amount * rate.unit, EXACT)
end

-- The debt as it is now, and the time it was counted at.
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
  if here > at then
    debt = math.max(debt - (here - at) * rate.drain, 0)
    at = here
  end
  return debt, at
end

local function meter(rate, debt, at)
  return cmsgpack.pack(debt, rate.unit, at)
end

local function remaining(rate, debt)
  return over(math.max(rate.capacity - debt, 0), rate.unit)
end

-- The meters of one kind, with their debts now.
local function load_meters(scope, kind, rates)
  if #rates == 0 then return {} end
  local fields = {}
  for at = 1, #rates do fields[at] = kind .. at end
  local kept, meters = redis.call('HMGET', scope.account, unpack(fields)), {}
  for at = 1, #rates do
    local debt, when = run_off(kept[at], rates[at])
    meters[at] = { rate = rates[at], debt = debt, at = when, field = fields[at] }
  end
  return meters
end

local function load_scopes(scopes)
  for _, scope in ipairs(scopes) do
    scope.r = load_meters(scope, 'r', scope.requests)
    scope.t = load_meters(scope, 't', scope.tokens)
    if scope.most >= 0 then
      scope.held = redis.call('ZCOUNT', scope.holds, '(' .. whole(now), '+inf')
    end
  end
end

-- Which of the meters does not have `amount`: its place, what is used, and the wait in milliseconds, -1 for
-- ever.
local function refusing(meters, amount)
  for at = 1, #meters do
    local meter = meters[at]
    local rate, wanted = meter.rate, units(meter.rate, amount)
    local after = meter.debt + wanted
    if wanted > rate.capacity then
      return at, rate.count - remaining(rate, meter.debt), -1
    elseif after > rate.capacity then
      return at, rate.count - remaining(rate, meter.debt), over_rounded_up(after - rate.capacity, rate.drain)
    end
  end
end

-- The first scope that refuses: its place, what is limited, the rate's place, what is used, the wait.
local function denied(scopes, tokens)
  for place, scope in ipairs(scopes) do
    if scope.most >= 0 and scope.held >= scope.most then return { place, 0, 0, scope.held, 0 } end
    local at, used, wait = refusing(scope.r, 1)
    if at then return { place, 1, at, used, wait } end
    at, used, wait = refusing(scope.t, tokens)
    if at then return { place, 2, at, used, wait } end
  end
end

local function take(meters, amount)
  for at = 1, #meters do
    meters[at].debt = meters[at].debt + units(meters[at].rate, amount)
  end
end

-- Writes them all at once, and lets the account live until the last of them has run off.
local function keep_meters(scope, ...)
  local fields, life = {}, 0
  for _, meters in ipairs({ ... }) do
    for at = 1, #meters do
      local it = meters[at]
      fields[#fields + 1], fields[#fields + 2] = it.field, meter(it.rate, it.debt, it.at)
      life = math.max(life, over_rounded_up(it.debt, it.rate.drain))
    end
  end
  if #fields == 0 then return end
  redis.call('HSET', scope.account, unpack(fields))
  extend(scope.account, life)
end

-- Writes what was taken down.
local function keep_scopes(scopes, id, hold)
  for _, scope in ipairs(scopes) do
    keep_meters(scope, scope.r, scope.t)
    if scope.most >= 0 then
      redis.call('ZREMRANGEBYSCORE', scope.holds, '-inf', whole(now))
      redis.call('ZADD', scope.holds, whole(now + hold), id)
      extend(scope.holds, millis(hold))
    end
  end
end

local function put_left(scopes, kind)
  local tightest, least
  for _, scope in ipairs(scopes) do
    local meters = scope[kind]
    for at = 1, #meters do
      local meter = meters[at]
      local left = remaining(meter.rate, meter.debt)
      if not least or left < least then tightest, least = meter, left end
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
    local meters = load_meters(scope, 'r', scope.requests)
    for _, meter in ipairs(meters) do
      meter.debt = math.max(meter.debt - units(meter.rate, 1), 0)
    end
    keep_meters(scope, meters)
    if scope.most >= 0 then redis.call('ZREM', scope.holds, id) end
  end
end

-- Trues the reservation of a call up to what it used, in an account that was forgotten meanwhile as well.
local function settle(scopes, id, reserved, used)
  for _, scope in ipairs(scopes) do
    local meters = load_meters(scope, 't', scope.tokens)
    for _, meter in ipairs(meters) do
      local owed = math.min(meter.debt + units(meter.rate, used), EXACT)
      meter.debt = math.max(owed - units(meter.rate, reserved), 0)
    end
    keep_meters(scope, meters)
    if scope.most >= 0 then redis.call('ZREM', scope.holds, id) end
  end
end
