-- The breakers that are not closed, and those that something was ordered for, by name.

local index, control = key(), key()
put(redis.call('ZRANGE', index, 0, -1))
put(redis.call('HKEYS', control))
return reply
