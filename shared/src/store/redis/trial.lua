-- Finds what a user may not do: runs each command that scripts run, on keys that mean nothing (Codec::trial).

local chars, hash, set = key(), key(), key()
local forbidden = {}
for _, words in ipairs({
  { 'TIME' },
  { 'INFO', 'memory' },
  { 'SET', chars, '1', 'PX', 1000 },
  { 'GET', chars },
  { 'GETRANGE', chars, 0, 1 },
  { 'SETRANGE', chars, 0, '1' },
  { 'APPEND', chars, '1' },
  { 'STRLEN', chars },
  { 'EXISTS', chars },
  { 'PTTL', chars },
  { 'HSET', hash, 'a', 1 },
  { 'PEXPIRE', hash, 1000 },
  { 'HGET', hash, 'a' },
  { 'HMGET', hash, 'a' },
  { 'HGETALL', hash },
  { 'HEXISTS', hash, 'a' },
  { 'HINCRBY', hash, 'a', 1 },
  { 'HKEYS', hash },
  { 'HLEN', hash },
  { 'HSTRLEN', hash, 'a' },
  { 'HDEL', hash, 'b' },
  { 'ZADD', set, 1, 'a' },
  { 'PEXPIRE', set, 1000 },
  { 'ZINCRBY', set, 1, 'a' },
  { 'ZCARD', set },
  { 'ZCOUNT', set, 0, 1 },
  { 'ZSCORE', set, 'a' },
  { 'ZRANGE', set, 0, 0 },
  { 'ZREVRANGE', set, 0, 0 },
  { 'ZRANGEBYSCORE', set, 0, 0 },
  { 'ZRANDMEMBER', set },
  { 'ZREM', set, 'b' },
  { 'ZREMRANGEBYRANK', set, 5, 5 },
  { 'ZREMRANGEBYSCORE', set, 5, 5 },
  { 'ZPOPMIN', set },
  { 'DEL', set },
  { 'UNLINK', chars, hash, set },
}) do
  local outcome = redis.pcall(unpack(words))
  if type(outcome) == 'table' and outcome.err then
    local is_of_key = string.find(outcome.err, 'access', 1, true)
    forbidden[#forbidden + 1] = is_of_key and 'keys' or string.lower(words[1])
  end
end
put(#forbidden)
for _, command in ipairs(forbidden) do put(command) end
return reply
