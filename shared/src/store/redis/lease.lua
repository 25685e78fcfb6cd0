-- The steps of embedded/leases.rs.
--
-- A lease is a hash: `key`, its own name; `call`, who leads, and `until` when; `form`, in which its answer can
-- be heard, and `heard`, until when somebody listens; `past`, who led before, and `remembered` until when;
-- `told`, whose answer is carried, `told_form`, `told_until`, its `head`, and in the end `end` and `notice`. Its
-- bytes are a value of their own.

local REMEMBERED = 5000000
local HEARD = 3000000
local MOST_OVERHEARD = 65536

-- Whether what is carried, `{ told, told_form, told_until }`, is of a call and in the form that is wanted.
local function is_carried(kept, id, wanted)
  return kept[1] == id and wanted.form ~= '' and kept[2] == wanted.form and tonumber(kept[3]) > now
end

-- No lease lasts longer than from now on: one that does was taken by a clock that was ahead. Of a hash's fields
-- `until`, `remembered` and `told_until` as they stand in `kept`.
local function clamp_lease(wanted, kept)
  local longest = now + wanted.span
  local function clamp(at, field, till)
    if not kept[at] or tonumber(kept[at]) <= till then return end
    kept[at] = till
    redis.call('HSET', wanted.key, field, till)
  end
  clamp(3, 'until', longest)
  clamp(5, 'remembered', now + REMEMBERED)
  clamp(8, 'told_until', longest + REMEMBERED)
end

-- Who makes the call, if somebody asks who has waited for another; whom there is to wait for, and whether its
-- answer can be heard.
local function leased(wanted)
  local kept = redis.call('HMGET', wanted.key, 'key', 'call', 'until', 'past', 'remembered',
    'told', 'told_form', 'told_until', 'end')
  if not kept[1] then return 'own' end
  if kept[1] ~= name_of(wanted.key) then
    fault()
    return 'own'
  end
  clamp_lease(wanted, kept)
  if kept[4] == wanted.awaited and tonumber(kept[5]) > now then return 'nobody' end
  if kept[2] and tonumber(kept[3]) > now then
    local audible = is_carried({ kept[6], kept[7], kept[8] }, kept[2], wanted) and kept[9] ~= 'cut'
    return 'elsewhere', kept[2], audible
  end
  return 'own'
end

-- Somebody waits who could listen.
local function wait(wanted)
  if wanted.form == '' then return end
  local kept = redis.call('HMGET', wanted.key, 'key', 'form')
  if kept[1] == name_of(wanted.key) and kept[2] == wanted.form then
    redis.call('HSET', wanted.key, 'heard', now + HEARD)
  end
end

local function lead(wanted, id)
  local name = name_of(wanted.key)
  if redis.call('HGET', wanted.key, 'key') ~= name then
    redis.call('DEL', wanted.key)
  end
  redis.call('HSET', wanted.key, 'key', name, 'call', id, 'until', now + wanted.span,
    'form', wanted.form, 'heard', now)
  extend(wanted.key, millis(wanted.span))
end

local function leads(held, id)
  local kept = redis.call('HMGET', held.key, 'key', 'call', 'until')
  return kept[1] == name_of(held.key) and kept[2] == id and tonumber(kept[3]) > now
end

-- A piece with a head begins anew.
local function carry(held, id, piece)
  local life = held.span + REMEMBERED
  if piece.head then
    redis.call('UNLINK', piece.key)
    redis.call('HSET', held.key, 'told', id, 'told_form', held.form, 'head', piece.head)
  elseif redis.call('HGET', held.key, 'told') ~= id then
    return
  end
  redis.call('HSET', held.key, 'told_until', now + life, 'end', piece.mark, 'notice', piece.notice)
  extend(held.key, millis(life))
  redis.call('APPEND', piece.key, piece.bytes)
  extend(piece.key, millis(life))
end

local function renew(held, id, piece)
  if not leads(held, id) then return 'lost' end
  redis.call('HSET', held.key, 'until', now + held.span)
  extend(held.key, millis(held.span))
  if piece then carry(held, id, piece) end
  local heard = tonumber(redis.call('HGET', held.key, 'heard'))
  if heard > now + HEARD then
    heard = now + HEARD
    redis.call('HSET', held.key, 'heard', heard)
  end
  return heard > now and 'heard' or 'unheard'
end

-- What a call has said, from this byte on; it is remembered for as long as somebody asks. Head, bytes, how it has
-- ended, the last that a client reads, and whether more may come.
local function overhear(wanted, said, id, from)
  wait(wanted)
  local kept = redis.call('HMGET', wanted.key, 'told', 'told_form', 'told_until', 'key', 'head', 'end', 'notice',
    'until', 'remembered')
  if kept[4] ~= name_of(wanted.key) then return end
  clamp_lease(wanted, { [3] = kept[8], [5] = kept[9], [8] = kept[3] })
  if not is_carried(kept, id, wanted) then return end
  local life = wanted.span + REMEMBERED
  redis.call('HSET', wanted.key, 'told_until', now + life)
  extend(wanted.key, millis(life))
  extend(said, millis(life))
  local length = redis.call('STRLEN', said)
  local bytes = ''
  if from < length then
    bytes = redis.call('GETRANGE', said, from, from + MOST_OVERHEARD - 1)
  end
  local mark, notice = '', ''
  if from + #bytes >= length then mark, notice = kept[6], kept[7] end
  return kept[5], bytes, mark, notice, leads(wanted, id)
end

local function let_go(held, id)
  if not leads(held, id) then return end
  redis.call('HDEL', held.key, 'call', 'until')
  if held.is_spent then
    redis.call('HSET', held.key, 'past', id, 'remembered', now + REMEMBERED)
    extend(held.key, millis(REMEMBERED))
  end
end
