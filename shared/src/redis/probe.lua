-- Leases the probe of a half-open breaker to a call: Breakers::lease_probe of embedded/breakers.rs.

local id, control = text(), key()
local breaker = read_breaker()
local forced = find_override(control, breaker)
local is_leased = false
if not (forced and forced.forced == 'open') then
  is_leased = automatic(breaker.key, breaker.name) == 'half-open'
  if is_leased then
    redis.call('HSET', breaker.key, 'probe', id, 'lease', now + PROBE_LEASE)
    extend(breaker.key, millis(PROBE_LEASE) + MEMORY)
  end
  is_leased = is_leased or forced ~= nil
end
put(is_leased and 1 or 0)
return reply
