-- All that is counted, and how many are being answered.

local sums, present = key(), key()
local kept = redis.call('HGETALL', sums)
put(#kept)
for _, word in ipairs(kept) do put(word) end
put(redis.call('ZCOUNT', present, now + 1, '+inf'))
return reply
