-- What a call has said so far: Store::overhear of embedded.rs.

local id = text()
local wanted = { key = key(), span = number(), form = text() }
local head, bytes, mark, notice, is_led = overhear(wanted, key(), id, number())
put(head and 1 or 0)
if head then
  put(head)
  put(bytes)
  put(mark)
  put(notice)
  put(is_led and 1 or 0)
end
return reply
