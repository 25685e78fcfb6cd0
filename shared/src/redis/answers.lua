-- The steps of embedded/answers.rs.
--
-- An answer is a hash: `key`, its own name; `since` and `until`; `meta` and `body`; `refreshing`, until when
-- somebody fetches a new one. An idempotency key is one as well, with the `request` it belongs to; while its
-- call runs it has `call`, the call's name, in place of an answer.

local REFRESH_LEASE = 60000000

-- What is kept, on which terms it may be given.
local function recall(wanted)
  local kept = redis.call('HMGET', wanted.key, 'key', 'since', 'until', 'refreshing', 'meta', 'body')
  if not kept[1] then return end
  if kept[1] ~= wanted.name then return fault() end
  local age = math.max(now - tonumber(kept[2]), 0)
  local freshness
  if age < wanted.fresh then
    freshness = 'fresh'
  elseif age < wanted.revalidate then
    freshness = 'revalidate'
  elseif age < wanted.if_error then
    freshness = 'if-error'
  end
  if not freshness or tonumber(kept[3]) <= now then return end
  local refreshing = tonumber(kept[4] or nil)
  local refresh = freshness == 'revalidate' and (not refreshing or refreshing <= now)
  return {
    age = age,
    freshness = freshness,
    refresh = refresh,
    is_given = freshness ~= 'if-error' and not refresh,
    is_stale = age >= wanted.ttl,
    meta = kept[5] or '',
    body = kept[6] or '',
  }
end

-- What is known of an idempotency key, and the age of its answer.
local function repeated(wanted)
  local kept = redis.call('HMGET', wanted.key, 'key', 'request', 'until', 'call', 'since')
  if not kept[1] then return 'first' end
  if kept[1] ~= wanted.name then
    fault()
    return 'first'
  end
  if tonumber(kept[3]) <= now then return 'first' end
  if kept[2] ~= wanted.request then return 'conflict' end
  if kept[4] then return 'running' end
  return 'answered', math.max(now - tonumber(kept[5]), 0)
end

local function put_found(found)
  put(found.freshness)
  put(found.age)
  put(found.refresh and 1 or 0)
  put(found.is_stale and 1 or 0)
  put(found.meta)
  put(found.body)
end

local function put_entry(name)
  local kept = redis.call('HMGET', name, 'meta', 'body')
  put(kept[1] or '')
  put(kept[2] or '')
end

local function begin(wanted, id, hold)
  redis.call('DEL', wanted.key)
  redis.call('HSET', wanted.key, 'key', wanted.name, 'request', wanted.request, 'call', id,
    'until', whole(now + hold))
  extend(wanted.key, millis(hold))
end

local function keep(it, entry, more, value)
  redis.call('UNLINK', it.key)
  redis.call('HSET', it.key, 'key', it.name, 'since', whole(now), 'until', whole(now + it.life),
    'meta', entry.meta, 'body', entry.body, more, value)
  extend(it.key, millis(it.life))
end

local function keep_cached(it, entry)
  if entry then
    keep(it, entry, 'refreshing', '0')
  else
    redis.call('HDEL', it.key, 'refreshing')
  end
end

-- A lease that has run out may be somebody else's by now.
local function keep_repeated(it, entry, id)
  local kept = redis.call('HMGET', it.key, 'key', 'call', 'until')
  local is_own = kept[1] == it.name and kept[2] == id and tonumber(kept[3]) > now
  if is_own and entry then
    keep(it, entry, 'request', it.request)
  elseif is_own then
    redis.call('DEL', it.key)
  end
end
