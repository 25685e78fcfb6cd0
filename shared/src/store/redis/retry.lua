-- The steps of retry.rs: the budget of retries, in thousandths of one.

local RETRY, DEPOSIT, FLOOR, MOST = 1000, 200, 10000, 100000

local function load_budget(name)
  local kept = redis.call('HMGET', name, 'balance', 'at')
  local balance, at = tonumber(kept[1] or FLOOR), math.min(tonumber(kept[2] or now), now)
  local granted = over(now - at, 1000000 / FLOOR)
  if granted > 0 then
    balance, at = math.min(balance + granted, MOST), now
  end
  return balance, at
end

local function keep_budget(name, balance, at)
  redis.call('HSET', name, 'balance', balance, 'at', at)
  extend(name, 3600000)
end

local function deposit(name)
  local balance, at = load_budget(name)
  keep_budget(name, math.min(balance + DEPOSIT, MOST), at)
end

local function withdraw(name)
  local balance, at = load_budget(name)
  local is_allowed = balance >= RETRY
  keep_budget(name, is_allowed and balance - RETRY or balance, at)
  return is_allowed
end
