-- Whose an object is: Store::own of embedded.rs.

local LIFE, NOTED, MOST = 2592000000000, 86400000000, 10000

local set = key()
redis.call('ZREMRANGEBYSCORE', set, '-inf', whole(now - LIFE))
local is_own, noted = true, {}
for _ = 1, number() do
  local object = text()
  local at = redis.call('ZSCORE', set, object)
  if not at then
    is_own = false
  elseif tonumber(at) <= now - NOTED then
    noted[#noted + 1] = object
  end
end
for _ = 1, number() do
  noted[#noted + 1] = text()
end
if is_own and #noted > 0 then
  for _, object in ipairs(noted) do
    redis.call('ZADD', set, whole(now), object)
  end
  redis.call('ZREMRANGEBYRANK', set, 0, -(MOST + 1))
  extend(set, millis(LIFE))
end
put(is_own and 1 or 0)
return reply
