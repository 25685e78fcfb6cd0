-- The steps of embedded/answers.rs.
--
-- An answer is one string: its name; `since`, `until` and `refreshing`, until when somebody fetches a new one,
-- in eight bytes each; and what entry.rs makes of it. What is said to a script has blanks before that. An
-- idempotency key is a hash: `key`, its own name; `since` and `until`; the `request` it belongs to; and the
-- `answer` or, while its call runs, `call`, the call's name.

local REFRESH_LEASE = 60000000
local NAME, HEAD, TIMES, REFRESHING = 64, 88, '>i8i8i8', 80
-- Bytes; what is longer is only named, and travels by itself (Codec::rest).
local MOST_TOGETHER = 65536

-- What is kept, on which terms it may be given.
local function recall(wanted)
  local answer = redis.call('GETRANGE', wanted.key, 0, MOST_TOGETHER)
  if answer == '' then return end
  if #answer < HEAD or string.sub(answer, 1, NAME) ~= name_of(wanted.key) then return fault() end
  local since, till, refreshing = struct.unpack(TIMES, answer, NAME + 1)
  local age = math.max(now - since, 0)
  local freshness
  if age < wanted.fresh then
    freshness = 'fresh'
  elseif age < wanted.revalidate then
    freshness = 'revalidate'
  elseif age < wanted.if_error then
    freshness = 'if-error'
  end
  if not freshness or till <= now then return end
  local refresh = freshness == 'revalidate' and refreshing <= now
  return {
    age = age,
    freshness = freshness,
    refresh = refresh,
    is_given = freshness ~= 'if-error' and not refresh,
    is_stale = age >= wanted.ttl,
    answer = #answer > MOST_TOGETHER and 'large:answer' or answer,
  }
end

-- What is known of an idempotency key, and the age of its answer.
local function repeated(wanted)
  local kept = redis.call('HMGET', wanted.key, 'key', 'request', 'until', 'call', 'since')
  if not kept[1] then return 'first' end
  if kept[1] ~= name_of(wanted.key) then
    fault()
    return 'first'
  end
  if tonumber(kept[3]) <= now then return 'first' end
  if kept[2] ~= wanted.request then return 'conflict' end
  if kept[4] then return 'running' end
  return 'answered', math.max(now - tonumber(kept[5]), 0)
end

local function put_repeated(wanted)
  if redis.call('HSTRLEN', wanted.key, 'answer') > MOST_TOGETHER then return put('large:repeat') end
  put(redis.call('HGET', wanted.key, 'answer') or '')
end

local function put_found(found)
  put(found.freshness)
  put(found.age)
  put(found.refresh and 1 or 0)
  put(found.is_stale and 1 or 0)
  put(found.answer)
end

-- Somebody fetches a new answer until then.
local function refresh(name, till)
  redis.call('SETRANGE', name, REFRESHING, struct.pack('>i8', till))
end

local function begin(wanted, id, hold)
  redis.call('DEL', wanted.key)
  redis.call('HSET', wanted.key, 'key', name_of(wanted.key), 'request', wanted.request, 'call', id,
    'until', now + hold)
  extend(wanted.key, millis(hold))
end

-- Whether the key was the call's own; it is free now. A lease that has run out may be somebody else's by then.
local function free_repeated(it, id)
  local kept = redis.call('HMGET', it.key, 'key', 'call', 'until')
  local is_own = kept[1] == name_of(it.key) and kept[2] == id and tonumber(kept[3]) > now
  if is_own then redis.call('UNLINK', it.key) end
  return is_own
end
