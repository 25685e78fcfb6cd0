-- What every script begins with: the words that are said to it, and the clock.
--
-- Lua counts in doubles, which are whole numbers below 2^53. Microseconds since 1970 stay below it until
-- 2255. A command writes a number with 17 digits, so a whole one as it is; `..` has only 14.
--
-- Redis hashes every byte of every string that a script sees, so what is long is seen as seldom as can be.

local words = { cmsgpack.unpack(ARGV[1]) }
-- More than fit the stack come as one list.
if type(words[1]) == 'table' then words = words[1] end

-- Microseconds, and the milliseconds that keys live longer than they have to. Tests bring their own time; keys
-- then live an hour longer, for the server expires them by its clock.
local now, spare = words[2], 3600000
if now == '' then
  local time = redis.call('TIME')
  now, spare = time[1] * 1000000 + time[2], 1000
end
