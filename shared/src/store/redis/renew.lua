-- Prolongs the lease of a call, and keeps what it has said: Store::renew of embedded.rs.

local id = text()
local held = { key = key(), span = number(), form = text() }
local piece
if is_said() then
  piece = { key = key() }
  if is_said() then piece.head = bytes() end
  piece.bytes, piece.mark, piece.notice = bytes(), text(), bytes()
end
put(renew(held, id, piece))
return reply
