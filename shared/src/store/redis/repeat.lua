-- The steps of embedded/answers.rs, of idempotency keys.
--
-- A key is a hash: `key`, its own name; `since` and `until`; the `request` it belongs to; and the `answer` or, while
-- its call runs, `call`, the call's name: a lease, which the call renews.

-- What is known of an idempotency key, and the age of its answer. Times of a clock that was ahead are moved to now.
local function repeated(wanted, hold)
  local kept = redis.call('HMGET', wanted.key, 'key', 'request', 'until', 'call', 'since')
  if not kept[1] then return 'first' end
  if kept[1] ~= name_of(wanted.key) then
    fault()
    return 'first'
  end
  local till, since = tonumber(kept[3]), tonumber(kept[5] or nil)
  if since and since > now then
    since, till = now, now + math.max(till - since, 0)
    redis.call('HSET', wanted.key, 'since', since, 'until', till)
  elseif kept[4] and hold > 0 and till > now + hold then
    till = now + hold
    redis.call('HSET', wanted.key, 'until', till)
  end
  if till <= now then return 'first' end
  if kept[2] ~= wanted.request then return 'conflict' end
  if kept[4] then return 'running' end
  return 'answered', now - since
end

local function put_repeated(wanted)
  if redis.call('HSTRLEN', wanted.key, 'answer') > MOST_TOGETHER then return put('large:repeat') end
  put(redis.call('HGET', wanted.key, 'answer') or '')
end

local function begin(wanted, id, hold)
  redis.call('DEL', wanted.key)
  redis.call('HSET', wanted.key, 'key', name_of(wanted.key), 'request', wanted.request, 'call', id,
    'until', now + hold)
  extend(wanted.key, millis(hold))
end

-- Whether the key is answered, or another call's.
local function is_anothers(wanted, id)
  local kept = redis.call('HMGET', wanted.key, 'key', 'call', 'until')
  if not kept[1] then return false end
  return kept[1] ~= name_of(wanted.key) or (kept[2] ~= id and tonumber(kept[3]) > now)
end

-- The call is under way, and has its key from now on, unless somebody else has taken it over.
local function prolong(wanted, id, hold)
  if not is_anothers(wanted, id) then begin(wanted, id, hold) end
end

-- Whether the key was the call's own, or is nobody's any more: it is free now, and an answer is worth keeping. A lease
-- that has run out may be somebody else's by then.
local function free_repeated(it, id)
  if is_anothers(it, id) then return false end
  redis.call('UNLINK', it.key)
  return true
end
