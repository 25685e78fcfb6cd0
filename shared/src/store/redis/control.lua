-- Does as an operator says, and tells what has become of the breaker: Overrides::obey of control.rs.

local control, breaker = key(), read_breaker()
local change, lasting = text(), number()

local is_full = false
if change == 'auto' then
  redis.call('HDEL', control, breaker.name)
else
  if redis.call('HLEN', control) >= MOST_OVERRIDES then
    local all = redis.call('HGETALL', control)
    for at = 1, #all, 2 do
      if not override(all[at + 1]) then redis.call('HDEL', control, all[at]) end
    end
    is_full = redis.call('HLEN', control) >= MOST_OVERRIDES
      and redis.call('HEXISTS', control, breaker.name) == 0
  end
  if not is_full then
    local till = lasting < 0 and '-' or whole(now + lasting)
    redis.call('HSET', control, breaker.name, change .. ' ' .. till)
    extend(control, lasting < 0 and YEAR or millis(lasting))
  end
end
put(is_full and 1 or 0)
put_gate(control, breaker)
put_state(automatic(breaker.key, breaker.name))
put_override(own_override(control, breaker))
return reply
