-- The steps of embedded/answers.rs.
--
-- An answer is one string: its name; `since`, `until` and `refreshing`, until when somebody fetches a new one,
-- in eight bytes each; and what entry.rs makes of it. What is said to a script has blanks before that.

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
  -- Times of a clock that was ahead are moved to now, as far from each other as they were.
  if since > now or refreshing > now + REFRESH_LEASE then
    if since > now then since, till = now, now + math.max(till - since, 0) end
    refreshing = math.min(refreshing, now + REFRESH_LEASE)
    redis.call('SETRANGE', wanted.key, NAME, struct.pack(TIMES, since, till, refreshing))
  end
  local age = now - since
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
