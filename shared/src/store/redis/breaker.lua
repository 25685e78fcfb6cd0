-- The steps of breaker.rs and control.rs.
--
-- A breaker is a hash: `name`; `row`, failures in a row; `openings`; `until`, which it has unless it is
-- closed, and `since`, when that was known last; `probe` and `lease`; `met` and `met2`, "caller time" of the last timeout and of the last one of another
-- caller; `broke`, the last break of a connection that was no part of an earlier one's moment; and `b0` … `b9`, "number calls failures". Those that are not closed stand in an index by the time of
-- their last change. Models that are watched stand in another, by the time they are forgotten: their names may be
-- made up, so there is a bound to how many there are. Overrides are one hash for the gateway: breaker → "open until"
-- or "closed until", with a `-` for no end.

local BUCKETS, PROBE_LEASE, MOMENT = 10, 60000000, 1000000
local LONGEST, LONGEST_NAMED = 300000000, HOUR
local MOST_COUNT, MOST_INDEXED, MOST_WATCHED, MOST_OVERRIDES = 4294967295, 2000, 10000, 1000
-- What is known of an upstream that nobody asks is forgotten after this long, in milliseconds.
local MEMORY = 3600000
-- An override without an end is forgotten when nobody has given any order for a year.
local YEAR = 365 * 24 * 3600000

-- What a breaker says by itself: "closed", "open" until, or "half-open".
local function state(kept_until, lease)
  if not kept_until then return 'closed' end
  if kept_until > now then return 'open', kept_until end
  if lease and lease > now then return 'open', lease end
  return 'half-open'
end

-- Times of a clock that was ahead are moved to now: it stays open, and its probe out, for as long as was meant.
local function clamp_breaker(till, lease, since)
  if till and since and since > now then till = now + math.max(till - since, 0) end
  if lease then lease = math.min(lease, now + PROBE_LEASE) end
  return till, lease
end

local function automatic(name, breaker)
  local kept = redis.call('HMGET', name, 'name', 'until', 'lease', 'since')
  if not kept[1] then return 'closed' end
  if kept[1] ~= breaker then
    fault()
    return 'closed'
  end
  local till, lease, since = tonumber(kept[2] or nil), tonumber(kept[3] or nil), tonumber(kept[4] or nil)
  local clamped_till, clamped_lease = clamp_breaker(till, lease, since)
  if clamped_till ~= till then
    redis.call('HSET', name, 'until', clamped_till, 'since', now)
  elseif since and since > now then
    redis.call('HSET', name, 'since', now)
  end
  if clamped_lease ~= lease then redis.call('HSET', name, 'lease', clamped_lease) end
  return state(clamped_till, clamped_lease)
end

local function override(kept)
  if not kept then return end
  local forced, till = string.match(kept, '^(%a+) (.+)$')
  till = tonumber(till)
  if till and till <= now then return end
  return { forced = forced, till = till }
end

-- The one that counts where an upstream's and a model's meet: open before closed, no end before any, then the
-- later.
local function stronger(own, upstreams)
  if not (own and upstreams) then return own or upstreams end
  if own.forced ~= upstreams.forced then return own.forced == 'open' and own or upstreams end
  if not own.till then return own end
  if not upstreams.till or upstreams.till > own.till then return upstreams end
  return own
end

-- A breaker as a request names it: its key, its name, and its upstream's where it is a model's.
local function read_breaker()
  local breaker = { key = key(), name = text(), upstream = text() }
  if breaker.upstream == '' then
    breaker.upstream = nil
  else
    breaker.upstream_key = key()
  end
  return breaker
end

-- What the breaker and its upstream's say together: open until the later end, then half-open.
local function both(breaker)
  local own, till = automatic(breaker.key, breaker.name)
  if not breaker.upstream then return own, till end
  local upstreams, upstreams_till = automatic(breaker.upstream_key, breaker.upstream)
  if own == 'open' then return 'open', math.max(till, upstreams_till or 0) end
  if upstreams == 'open' then return 'open', upstreams_till end
  if own == 'half-open' or upstreams == 'half-open' then return 'half-open' end
  return 'closed'
end

local function own_override(control, breaker)
  return override(redis.call('HGET', control, breaker.name))
end

local function find_override(control, breaker)
  if not breaker.upstream then return own_override(control, breaker) end
  local kept = redis.call('HMGET', control, breaker.name, breaker.upstream)
  return stronger(override(kept[1]), override(kept[2]))
end

local function put_override(found)
  put(found and found.forced or '')
  put(found and found.till and found.till - now or -1)
end

local function put_state(state, till)
  put(state)
  put(till and till - now or -1)
end

-- What holds for the next request: an operator's word, or what the breaker says by itself.
local function put_gate(control, breaker)
  put_override(find_override(control, breaker))
  put_state(both(breaker))
end

local function is_open(control, breaker)
  local state = both(breaker)
  local found = find_override(control, breaker)
  if found then return found.forced == 'open' end
  return state == 'open'
end

-- Leases the probe of a breaker that is half-open.
local function lease_probe(name, breaker, id)
  if automatic(name, breaker) ~= 'half-open' then return end
  redis.call('HSET', name, 'probe', id, 'lease', now + PROBE_LEASE)
  extend(name, millis(PROBE_LEASE) + MEMORY)
end

local function load_breaker(name, breaker)
  local kept = redis.call('HMGET', name, 'name', 'row', 'openings', 'until', 'probe', 'lease',
    'b0', 'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7', 'b8', 'b9', 'met', 'met2', 'broke', 'since')
  if kept[1] and kept[1] ~= breaker then
    fault()
    redis.call('DEL', name)
    kept = {}
  end
  local record = { row = tonumber(kept[2] or 0), openings = tonumber(kept[3] or 0), buckets = {} }
  record.till, record.probe, record.lease = tonumber(kept[4] or nil), kept[5] or nil, tonumber(kept[6] or nil)
  for at = 1, BUCKETS do
    local number, calls, failures = string.match(kept[6 + at] or '', '^(%d+) (%d+) (%d+)$')
    record.buckets[at] = { tonumber(number or 0), tonumber(calls or 0), tonumber(failures or 0) }
  end
  record.met, record.met2 = kept[17] or nil, kept[18] or nil
  record.broke = tonumber(kept[19] or nil)
  record.since = tonumber(kept[20] or nil)
  record.till, record.lease = clamp_breaker(record.till, record.lease, record.since)
  if record.since then record.since = math.min(record.since, now) end
  record.is_new = not kept[1]
  return record
end

local function tenth_of_window(policy)
  return over(now, policy.tenth)
end

local function count(record, policy, failures)
  local number = tenth_of_window(policy)
  local at = math.fmod(number, BUCKETS) + 1
  local bucket = record.buckets[at]
  if bucket[1] ~= number then
    bucket = { number, 0, 0 }
    record.buckets[at] = bucket
  end
  bucket[2] = math.min(bucket[2] + 1, MOST_COUNT)
  bucket[3] = math.min(bucket[3] + failures, MOST_COUNT)
end

local function is_over(record, policy)
  local number, calls, failures = tenth_of_window(policy), 0, 0
  for _, bucket in ipairs(record.buckets) do
    -- What a clock counted that was ahead is of no window that there is.
    if bucket[1] <= number and number - bucket[1] < BUCKETS then
      calls = calls + bucket[2]
      failures = failures + bucket[3]
    end
  end
  local is_over_rate = calls >= policy.minimum and failures * 1000000 >= calls * policy.failure_rate
  return record.row >= policy.consecutive or (failures > 0 and is_over_rate)
end

-- Takes note of a timeout. Whether another caller has met one within the window.
local function is_met_by_another(record, caller, policy)
  if record.met and string.sub(record.met, 1, 16) ~= caller then record.met2 = record.met end
  record.met = caller .. ' ' .. whole(now)
  local since = record.met2 and tonumber(string.sub(record.met2, 18))
  if since and since > now then
    since = now
    record.met2 = string.sub(record.met2, 1, 17) .. whole(now)
  end
  return since and now - since < policy.tenth * BUCKETS
end

-- Whether a connection broke within the last moment.
local function is_broken(broke)
  return broke and broke <= now and now - broke < MOMENT
end

-- Whether there is room to watch one more model, until `till`.
local function has_room(watched, breaker, till)
  if redis.call('ZCARD', watched) >= MOST_WATCHED then
    redis.call('ZREMRANGEBYSCORE', watched, '-inf', now)
    if redis.call('ZCARD', watched) >= MOST_WATCHED then return false end
  end
  redis.call('ZADD', watched, till, breaker)
  extend(watched, millis(till - now))
  return true
end

-- The point of 0 … bound that 64 bits stand for, 16 bits at a time: exact for bounds up to 2^36.
local function below(roll, bound)
  local carried = 0
  for at = 13, 1, -4 do
    carried = math.floor((tonumber(string.sub(roll, at, at + 3), 16) * bound + carried) / 65536)
  end
  return carried
end

local function open_time(record, policy, roll)
  local doublings = math.min(math.max(record.openings - 1, 0), 16)
  local base = math.min(policy.open * 2 ^ doublings, math.max(LONGEST, policy.open))
  return base + below(roll, over(base, 10))
end

local function store_breaker(target, index, watched, record, policy)
  local name, breaker = target.key, target.name
  local fields = { 'name', breaker, 'row', record.row, 'openings', record.openings }
  local function field(name, value)
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
  local life = policy.tenth * BUCKETS
  if record.till then
    field('until', record.till)
    field('since', record.since or now)
    life = math.max(life, record.till - now)
  end
  if record.probe then
    field('probe', record.probe)
    field('lease', record.lease)
    life = math.max(life, record.lease - now)
  end
  if record.met then field('met', record.met) end
  if record.met2 then field('met2', record.met2) end
  if record.broke then field('broke', record.broke) end
  for at, bucket in ipairs(record.buckets) do
    if bucket[2] > 0 then
      field('b' .. (at - 1), whole(bucket[1]) .. ' ' .. whole(bucket[2]) .. ' ' .. whole(bucket[3]))
    end
  end
  life = millis(life) + MEMORY
  if target.is_models then
    local till = now + life * 1000
    if record.is_new then
      if not has_room(watched, breaker, till) then return end
    else
      redis.call('ZADD', watched, till, breaker)
      extend(watched, life)
    end
  end
  redis.call('DEL', name)
  redis.call('HSET', name, unpack(fields))
  extend(name, life)
  if record.till then
    redis.call('ZADD', index, now, breaker)
    redis.call('ZREMRANGEBYRANK', index, 0, -1 - MOST_INDEXED)
    extend(index, life)
  else
    redis.call('ZREM', index, breaker)
  end
end

-- The call was given up, or has said nothing of what this breaker is for: its lease goes back.
local function release(name, id)
  if redis.call('HGET', name, 'probe') == id then
    redis.call('HDEL', name, 'probe', 'lease')
  end
end

-- What nearly every call has to say, in few steps. Calls that went well mean something for as long as the window is,
-- so the record of a model that has seen nothing else is gone soon after. Of a probe it leaves all to the steps below.
local function succeed(target, watched, policy, id)
  local number = tenth_of_window(policy)
  local at = 'b' .. whole(math.fmod(number, BUCKETS))
  local kept = redis.call('HMGET', target.key, 'name', 'row', 'openings', 'until', 'probe', at)
  if kept[1] and kept[1] ~= target.name then
    fault()
    redis.call('DEL', target.key)
    kept = {}
  end
  if kept[5] == id then return false end
  local window = policy.tenth * BUCKETS
  if target.is_models and not kept[1] and not has_room(watched, target.name, now + 2 * window) then return true end
  local since, calls, failures = string.match(kept[6] or '', '^(%d+) (%d+) (%d+)$')
  since, calls, failures = tonumber(since or 0), tonumber(calls or 0), tonumber(failures or 0)
  local is_new = not kept[1] or since ~= number
  if is_new then calls, failures = 0, 0 end
  calls = math.min(calls + 1, MOST_COUNT)
  local fields = { at, whole(number) .. ' ' .. whole(calls) .. ' ' .. whole(failures) }
  local function field(name, value)
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
  if not kept[1] then field('name', target.name) end
  if kept[2] and kept[2] ~= '0' then field('row', 0) end
  if kept[3] and kept[3] ~= '0' and not kept[4] then field('openings', 0) end
  redis.call('HSET', target.key, unpack(fields))
  if is_new then extend(target.key, millis(2 * window)) end
  return true
end

-- Takes note of how the call `id` ended, where a breaker learns of it.
local function learn(target, outcome, policy, index, watched, id, roll)
  if not outcome then return release(target.key, id) end
  if outcome.kind == 'success' and succeed(target, watched, policy, id) then return end
  local record = load_breaker(target.key, target.name)
  local is_probe = record.probe == id
  local function done()
    store_breaker(target, index, watched, record, policy)
  end
  if outcome.kind == 'success' then
    if is_probe then
      record = { row = 0, openings = 0, buckets = {} }
      for at = 1, BUCKETS do record.buckets[at] = { 0, 0, 0 } end
    end
    record.row = 0
    if not record.till then record.openings = 0 end
    count(record, policy, 0)
    return done()
  end
  local named
  if outcome.kind == 'limited' and policy.on_rate_limit == 'ignore' then
    -- It answers; but a probe that gets no more than that has proved nothing.
    if is_probe then
      record.probe, record.lease = nil, nil
    else
      count(record, policy, 0)
    end
    return done()
  elseif outcome.kind == 'limited' and policy.on_rate_limit == 'open' and outcome.retry_after >= 0 then
    named = now + math.min(outcome.retry_after, LONGEST_NAMED)
  elseif outcome.kind == 'timeout' then
    -- One caller's may be its own long work; but a probe that gets no answer has proved nothing.
    if not is_met_by_another(record, outcome.caller, policy) and not is_probe then return done() end
  elseif outcome.kind == 'break' then
    local is_repeated = is_broken(record.broke)
    if not outcome.is_upstreams and not is_repeated then record.broke = now end
    -- But a probe that gets no answer has proved nothing.
    if is_repeated and not is_probe then return done() end
  end
  count(record, policy, 1)
  record.row = math.min(record.row + 1, MOST_COUNT)
  -- Calls that were under way when it opened are no news, unless they name a longer time.
  if is_probe or (not record.till and is_over(record, policy)) then
    record.openings = math.min(record.openings + 1, MOST_COUNT)
    record.till = math.max(record.till or 0, now + open_time(record, policy, roll))
  end
  if named then record.till = math.max(record.till or 0, named) end
  record.since = now
  if is_probe then record.probe, record.lease = nil, nil end
  done()
end

local function read_policy()
  return {
    tenth = number(),
    consecutive = number(),
    failure_rate = number(),
    minimum = number(),
    open = number(),
    on_rate_limit = text(),
  }
end

local function read_finding()
  local finding = { breaker = read_breaker(), kind = text() }
  local has_both = finding.breaker.upstream
  if finding.kind == 'success' then
    finding.own = { tenth = number() }
    if has_both then finding.upstreams = { tenth = number() } end
    return finding
  end
  finding.is_upstreams, finding.caller, finding.retry_after = is_said(), text(), number()
  finding.own = read_policy()
  if has_both then finding.upstreams = read_policy() end
  return finding
end

-- Tells the breaker, and its upstream's where it is a model's: Outcome::toward of breaker.rs.
local function observe(finding, index, watched, id, roll)
  local breaker = finding.breaker
  local target = { key = breaker.key, name = breaker.name, is_models = breaker.upstream ~= nil }
  if not breaker.upstream then return learn(target, finding, finding.own, index, watched, id, roll) end
  local own, upstreams = finding, finding
  if finding.kind ~= 'success' then
    if finding.is_upstreams then
      own = nil
    elseif finding.kind == 'timeout' then
      upstreams = nil
    else
      upstreams = { kind = 'success' }
    end
  end
  learn(target, own, finding.own, index, watched, id, roll)
  local upstream = { key = breaker.upstream_key, name = breaker.upstream, is_models = false }
  learn(upstream, upstreams, finding.upstreams, index, watched, id, roll)
  -- A model's break is one of its upstream's moment.
  if finding.kind == 'break' and not finding.is_upstreams
    and not is_broken(tonumber(redis.call('HGET', upstream.key, 'broke') or nil)) then
    redis.call('HSET', upstream.key, 'broke', now)
  end
end
