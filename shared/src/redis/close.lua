-- The one operation after the last byte: Store::close of embedded.rs.

local id, roll = text(), text()
local reserved, used = number(), number()
local scopes = read_scopes()
local cached, again, entry
if is_said() then entry = { meta = text(), body = bytes() } end
if is_said() then cached = { key = key(), name = text(), life = number() } end
if is_said() then again = { key = key(), name = text(), request = text(), life = number() } end
local lease
if is_said() then
  lease = { key = key(), name = text(), span = number(), form = text(), is_spent = is_said() }
end
local index, findings = nil, {}
for at = 1, number() do
  index = index or key()
  findings[at] = read_finding()
end

settle(scopes, id, reserved, used)
if cached then keep_cached(cached, entry) end
if again then keep_repeated(again, entry, id) end
if lease then let_go(lease, id) end
for _, finding in ipairs(findings) do observe(finding, index, id, roll) end
for _ = 1, number() do release(key(), id) end
if is_said() then leave(key(), id) end
if is_said() then add_up(key()) end
return reply
