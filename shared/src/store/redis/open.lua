-- The one operation before the upstream call: Store::open of embedded.rs, as far as hit.lua has not done it.
-- Everything is read before anything is written, so that a value of the wrong type leaves nothing half done.

local id, follows, anew = text(), is_said(), is_said()
local cached, again
if is_said() then
  cached = { key = key(), fresh = number(), revalidate = number(), if_error = number(), ttl = number() }
end
if is_said() then again = { key = key(), request = text() } end
local present
if is_said() then present = key() end
local tokens, hold, scopes = 0, 0, {}
local reserves = is_said()
if reserves then
  tokens, hold = number(), number()
  scopes = read_scopes()
end
local lease
if is_said() then lease = { key = key(), span = number(), form = text(), awaited = text() } end
local budget
if reserves then budget = key() end
local control, breakers = nil, {}
for at = 1, number() do
  control = control or key()
  breakers[at] = read_breaker()
end

-- It was opened before, to no use.
if anew then
  undo(scopes, id)
  if again then free_repeated(again, id) end
  if present then leave(present, id) end
end

local found
if cached then found = recall(cached) end
local known, age = 'none', nil
if again then known, age = repeated(again, hold) end
put(known)
if known == 'conflict' or (known == 'running' and not follows) then return reply end

local turn, leader, audible = 'none', nil, nil
if lease and reserves and not follows and known ~= 'answered'
    and (not found or found.freshness == 'if-error') then
  turn, leader, audible = leased(lease)
end
put(turn)
if turn == 'elsewhere' then
  put(leader)
  put(audible and 1 or 0)
  wait(lease)
  return reply
end

load_scopes(scopes)
local fetches = not found or found.freshness == 'if-error' or found.refresh
local reserved = tokens
local refusal
if fetches and known ~= 'answered' and not follows then
  refusal = denied(scopes, tokens, hold)
  -- Who may not fetch a new one may still have the old one.
  if refusal and found and found.refresh then
    found.refresh, found.is_given, fetches, reserved = false, true, false, 0
    refusal = denied(scopes, 0, hold)
  end
else
  fetches, reserved = false, 0
  refusal = denied(scopes, 0, hold)
end
if reserves and refusal then
  keep_clamped(scopes, refusal[1])
  put_denied(scopes, refusal, reserved)
  return reply
end
put(0)

take(scopes, reserved)
put_left(scopes, 'r')
put_left(scopes, 't')
put(reserves and reserved or 0)
if found then
  put_found(found)
else
  put('none')
end
if known == 'answered' then
  put(age)
  put_repeated(again)
end
if known ~= 'answered' and not (found and found.is_given) then
  for _, breaker in ipairs(breakers) do put_gate(control, breaker) end
end

if reserves then
  keep_scopes(scopes, id, hold)
  if present then enter(present, id, hold) end
  if fetches then
    deposit(budget)
    if found and found.refresh then refresh(cached.key, now + REFRESH_LEASE) end
  end
  if known == 'first' then begin(again, id, hold) end
  if turn == 'own' then lead(lease, id) end
end
return reply
