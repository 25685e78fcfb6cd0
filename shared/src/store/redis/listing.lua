-- Breakers as an operator sees them.

local control = key()
for _ = 1, number() do
  local breaker = read_breaker()
  put_gate(control, breaker)
  put_state(automatic(breaker.key, breaker.name))
  put_override(own_override(control, breaker))
end
return reply
