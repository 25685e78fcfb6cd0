-- Prolongs the lease of a call, and keeps what it has said: Store::renew of embedded.rs.

local id = text()
local held = { key = key(), name = text(), span = number(), form = text() }
local piece
if is_said() then
  piece = { key = key() }
  if is_said() then piece.head = text() end
  piece.bytes, piece.mark, piece.notice = text(), text(), text()
end
put(renew(held, id, piece))
return reply
