-- Of the one operation before the upstream call what a cache hit needs. It stands before all that it does not
-- need, for a script makes its functions anew at each run. What it does is what open.lua would do.

local id, follows, anew = text(), is_said(), is_said()
local cached, again
if is_said() then
  cached = { key = key(), name = text() }
  cached.fresh, cached.revalidate, cached.if_error, cached.ttl = number(), number(), number(), number()
end
if is_said() then
  again = { key = key(), name = text(), request = text() }
end
local present
if is_said() then present = key() end
local tokens, hold, scopes = 0, 0, {}
local reserves = is_said()
if reserves then
  tokens, hold = number(), number()
  scopes = read_scopes()
end

local found
if cached and not anew then found = recall(cached) end
if found and found.is_given and reserves and not again and not present then
  load_scopes(scopes)
  put('none')
  put('none')
  local refusal = denied(scopes, 0)
  if refusal then
    put_denied(scopes, refusal, 0)
    return reply
  end
  put(0)
  for _, scope in ipairs(scopes) do
    take(scope.r, 1)
    take(scope.t, 0)
  end
  put_left(scopes, 'r')
  put_left(scopes, 't')
  put(0)
  put_found(found)
  keep_scopes(scopes, id, hold)
  return reply
end

