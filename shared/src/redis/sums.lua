-- All that is counted, and how many are being answered.

local sums, present = key(), key()
put(redis.call('HGETALL', sums))
put(redis.call('ZCOUNT', present, '(' .. whole(now), '+inf'))
return reply
