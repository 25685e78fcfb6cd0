-- The one operation after the last byte: Store::close of embedded.rs.

local id, roll = text(), text()
-- Whether it may have been told before: what must not be done twice is left out.
local again_told = is_said()
local reserved, used = number(), number()
local scopes = read_scopes()
local cached, again, answer
if is_said() then answer = bytes() end
if is_said() then
  cached = { key = key(), life = number() }
  if answer then cached.pool = read_pool(cached, 'answer') end
end
if is_said() then
  again = { key = key(), request = text(), life = number() }
  if answer then again.pool = read_pool(again, 'repeat') end
end
local lease
if is_said() then
  lease = { key = key(), span = number(), form = text(), is_spent = is_said() }
end
local index, watched, findings = nil, nil, {}
for at = 1, number() do
  if not index then index, watched = key(), key() end
  findings[at] = read_finding()
end

settle(scopes, id, reserved, used, again_told)
if cached then keep_cached(cached, answer) end
if again then keep_repeated(again, answer, id) end
if lease then let_go(lease, id) end
if not again_told then
  for _, finding in ipairs(findings) do observe(finding, index, watched, id, roll) end
end
for _ = 1, number() do
  local breaker = read_breaker()
  release(breaker.key, id)
  if breaker.upstream then release(breaker.upstream_key, id) end
end
if is_said() then leave(key(), id) end
if is_said() and not again_told then add_up(key()) end
put_refused()
return reply
