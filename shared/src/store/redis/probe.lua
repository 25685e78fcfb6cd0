-- Leases the probe of a half-open breaker to a call: Breakers::lease_probe of embedded/breakers.rs.

local id, control = text(), key()
local breaker = read_breaker()
local state = both(breaker)
local forced = find_override(control, breaker)
local may_go
if forced then
  may_go = forced.forced == 'closed'
else
  may_go = state ~= 'open'
end
if may_go then
  lease_probe(breaker.key, breaker.name, id)
  if breaker.upstream then lease_probe(breaker.upstream_key, breaker.upstream, id) end
end
put(may_go and 1 or 0)
return reply
