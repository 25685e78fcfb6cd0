-- Prolongs the lease of a call: Store::renew of embedded.rs.

local id = text()
local held = { key = key(), name = text(), span = number() }
put(renew(held, id) and 1 or 0)
return reply
