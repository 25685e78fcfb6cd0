-- A call is still under way, and holds what it holds from now on: Store::renew_hold of embedded.rs.

local id, hold = text(), number()
if is_said() then enter(key(), id, hold) end
for _ = 1, number() do
  local holds = key()
  clamp_holds(holds, hold)
  hold_place(holds, id, hold)
end
if is_said() then prolong({ key = key(), request = text() }, id, hold) end
return reply
