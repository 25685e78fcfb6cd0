-- Gives answers that are too long to go with the rest of a reply: Codec::rest.

for _ = 1, number() do
  local name, is_repeat = key(), is_said()
  if is_repeat then
    put(redis.call('HGET', name, 'answer') or '')
  else
    put(redis.call('GET', name) or '')
  end
end
return reply
