-- The steps of embedded/leases.rs.
--
-- A lease is a hash: `key`, its own name; `call`, who leads, and `until` when; `past`, who led before, and
-- `remembered` until when.

local REMEMBERED = 5000000

-- Who makes the call, if somebody asks who has waited for another; and whom there is to wait for.
local function leased(wanted)
  local kept = redis.call('HMGET', wanted.key, 'key', 'call', 'until', 'past', 'remembered')
  if not kept[1] then return 'own' end
  if kept[1] ~= wanted.name then
    fault()
    return 'own'
  end
  if kept[4] == wanted.awaited and tonumber(kept[5]) > now then return 'nobody' end
  if kept[2] and tonumber(kept[3]) > now then return 'elsewhere', kept[2] end
  return 'own'
end

local function lead(wanted, id)
  if redis.call('HGET', wanted.key, 'key') ~= wanted.name then
    redis.call('DEL', wanted.key)
  end
  redis.call('HSET', wanted.key, 'key', wanted.name, 'call', id, 'until', whole(now + wanted.span))
  extend(wanted.key, millis(wanted.span))
end

local function leads(held, id)
  local kept = redis.call('HMGET', held.key, 'key', 'call', 'until')
  return kept[1] == held.name and kept[2] == id and tonumber(kept[3]) > now
end

local function renew(held, id)
  if not leads(held, id) then return false end
  redis.call('HSET', held.key, 'until', whole(now + held.span))
  extend(held.key, millis(held.span))
  return true
end

local function let_go(held, id)
  if not leads(held, id) then return end
  redis.call('HDEL', held.key, 'call', 'until')
  if held.is_spent then
    redis.call('HSET', held.key, 'past', id, 'remembered', whole(now + REMEMBERED))
    extend(held.key, millis(REMEMBERED))
  end
end
