-- Bounds what answers take, as embedded/shares.rs does: whoever keeps the most makes room.
--
-- A pool is the cache, or the answers to idempotency keys. Its `owners` are a sorted set of tenants by bytes, with the
-- sum of all as `total`. A tenant's `line` is a sorted set of `<name>:<bytes>` by when they end: what ends first makes
-- room first. Keys that make room are the only ones that a script touches and its command does not name. They share
-- the namespace's slot.

-- Steps of one call at most, so that no call is in the way for long.
local MOST_SWEPT, MOST_EVICTED = 64, 256
-- Bytes that Redis needs for a key and its place in a line.
local OVERHEAD = 512

local function score(set, member)
  return tonumber(redis.call('ZSCORE', set, member)) or 0
end

local function line_of(pool, owner)
  return pool.owners .. ':' .. owner
end

local function bytes_of(member)
  return tonumber(string.sub(member, NAME + 2))
end

local function weigh(pool, owner, by)
  if by == 0 then return end
  for _, member in ipairs({ owner, 'total' }) do
    if tonumber(redis.call('ZINCRBY', pool.owners, by, member)) <= 0 then
      redis.call('ZREM', pool.owners, member)
    end
  end
end

-- Takes no longer into account what has ended: Redis lets it go by itself.
local function sweep(pool, owner)
  local line = line_of(pool, owner)
  local ended, bytes = redis.call('ZRANGEBYSCORE', line, '-inf', whole(now), 'LIMIT', 0, MOST_SWEPT), 0
  for _, member in ipairs(ended) do bytes = bytes + bytes_of(member) end
  if #ended > 0 then redis.call('ZREM', line, unpack(ended)) end
  if redis.call('EXISTS', line) == 0 then bytes = score(pool.owners, owner) end
  weigh(pool, owner, -bytes)
end

-- Until when what is kept under a name may be given.
local function ends(pool, name)
  if pool.kind == 'repeat' then return tonumber(redis.call('HGET', name, 'until')) end
  local till = redis.call('GETRANGE', name, NAME + 8, NAME + 15)
  return #till == 8 and struct.unpack('>i8', till)
end

local function evict(pool, owner)
  local first = redis.call('ZPOPMIN', line_of(pool, owner))
  if not first[1] then return weigh(pool, owner, -score(pool.owners, owner)) end
  local name = pool.prefix .. string.sub(first[1], 1, NAME)
  -- Another tenant may have kept it anew.
  if ends(pool, name) == tonumber(first[2]) then redis.call('UNLINK', name) end
  weigh(pool, owner, -bytes_of(first[1]))
end

local function largest(pool)
  local found = redis.call('ZREVRANGE', pool.owners, 0, 1, 'WITHSCORES')
  local at = found[1] == 'total' and 3 or 1
  return found[at], tonumber(found[at + 1])
end

-- Whether there is room for so many bytes of a tenant's. A tenant that would keep the most has to make it himself.
local function make_room(pool, wanted)
  if wanted > pool.most then return false end
  for _ = 0, MOST_EVICTED do
    if score(pool.owners, 'total') + wanted <= pool.most then return true end
    local owner, most = largest(pool)
    if not owner then
      redis.call('DEL', pool.owners)
      return true
    end
    local own = score(pool.owners, pool.owner)
    if own + wanted >= most then
      if own == 0 then return false end
      owner = pool.owner
    end
    evict(pool, owner)
  end
  return false
end

-- What Redis has and may have; nothing is known where it does not say.
local memory_used, memory_most
local function look_at_memory()
  if memory_used then return end
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then info = '' end
  memory_used = tonumber(string.match(info, 'used_memory:(%d+)')) or 0
  memory_most = tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
end

local function read_pool(it, kind)
  local pool = { kind = kind, owners = key(), line = key(), most = number() }
  pool.owner, pool.prefix = name_of(pool.line), string.sub(it.key, 1, -NAME - 1)
  return pool
end

-- Why what weighs so much is not kept, where `before` bytes were under its key; `nil` where it is kept.
local function refuse(it, before, weight)
  local pool, name = it.pool, name_of(it.key)
  if before > 0 and redis.call('ZREM', pool.line, name .. ':' .. whole(before + OVERHEAD)) == 1 then
    weigh(pool, pool.owner, -(before + OVERHEAD))
  end
  sweep(pool, pool.owner)
  -- Tenants that have gone away leave their share in time.
  local other = redis.call('ZRANDMEMBER', pool.owners)
  if other and other ~= 'total' then sweep(pool, other) end
  look_at_memory()
  local wanted, why = weight + OVERHEAD, nil
  if memory_most > 0 then
    -- Accounts have the rest, whatever is kept.
    if memory_used > memory_most * 0.75 then why = 'memory' end
    pool.most = math.min(pool.most, memory_most * 0.25)
  end
  if not why and not make_room(pool, wanted) then why = 'room' end
  if why then return why end
  redis.call('ZADD', pool.line, whole(now + it.life), name .. ':' .. whole(wanted))
  weigh(pool, pool.owner, wanted)
  extend(pool.line, millis(it.life))
  extend(pool.owners, millis(it.life))
end

-- Answers that were not kept, by why.
local refused = {}

local function keep_cached(it, answer)
  local name = name_of(it.key)
  if answer then
    local why = refuse(it, redis.call('STRLEN', it.key), #answer)
    if why then
      refused[#refused + 1] = why
      redis.call('UNLINK', it.key)
      return
    end
    redis.call('SET', it.key, answer, 'PX', millis(it.life) + spare)
    redis.call('SETRANGE', it.key, 0, name .. struct.pack(TIMES, now, now + it.life, 0))
  elseif redis.call('GETRANGE', it.key, 0, NAME - 1) == name then
    refresh(it.key, 0)
  end
end

local function keep_repeated(it, answer, id)
  if not free_repeated(it, id) or not answer then return end
  local why = refuse(it, 0, #answer)
  if why then
    refused[#refused + 1] = why
    return
  end
  redis.call('HSET', it.key, 'key', name_of(it.key), 'since', now, 'until', now + it.life,
    'request', it.request, 'answer', answer)
  extend(it.key, millis(it.life))
end

local function put_refused()
  put(#refused)
  for _, why in ipairs(refused) do put(why) end
end
