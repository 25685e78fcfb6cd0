-- The breakers that are not closed, and those that something was ordered for, by name.

local index, control = key(), key()
for _, names in ipairs({ redis.call('ZRANGE', index, 0, -1), redis.call('HKEYS', control) }) do
  put(#names)
  for _, name in ipairs(names) do put(name) end
end
return reply
