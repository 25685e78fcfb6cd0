-- Of the one operation before the upstream call what nearly every cache hit is: an answer that is fresh, for
-- a caller within all his limits. It stands before the functions that all the rest needs, for a script makes
-- those anew at each run, and they cost more than this. What it does is what open.lua would do; what is not
-- so plain it leaves to open.lua, and has then changed nothing.

repeat
  -- Where they stand for a call that recalls and reserves and does no more, as Codec::open has it.
  local anew, recalls, fresh, repeats = words[5], words[6], words[7], words[11]
  local counts, reserves = words[12], words[13]
  if recalls == 0 or anew == 1 or repeats == 1 or counts == 1 or reserves == 0 then break end
  local id, hold, scopes = words[3], words[15], words[16]

  local call, over, key = redis.call, math.fmod, KEYS[1]
  local answer = call('GET', key)
  if not answer or #answer < 88 or string.find(answer, string.sub(key, -64), 1, true) ~= 1 then break end
  local since, till = struct.unpack('>i8i8', answer, 65)
  local age = now - since
  if age < 0 or age >= fresh or till <= now then break end

  -- Of the tightest rate of each kind: its count, what is left, and when all of it is there again.
  local requests, requests_left, requests_reset, tokens, tokens_left, tokens_reset = -1, 0, 0, -1, 0, 0
  local written, is_refused = {}, false
  local here, read, keys_read = (now - over(now, 1000)) / 1000, 16, 1
  for scope = 1, scopes do
    local account, most, meters = KEYS[keys_read + 1], words[read + 1], words[read + 2]
    keys_read, read = keys_read + 1, read + 2
    local kept = { account = account, life = 0, 'HSET', account }
    if most >= 0 then
      keys_read = keys_read + 1
      kept.holds = KEYS[keys_read]
      is_refused = call('ZCOUNT', kept.holds, now + 1, '+inf') >= most
        or call('ZCOUNT', kept.holds, '(' .. string.format('%.0f', now + hold), '+inf') > 0
    end
    local debts
    if meters == 1 then
      debts = call('HMGET', account, words[read + 1])
    elseif meters > 1 then
      local asked = { 'HMGET', account }
      for at = 1, meters do asked[at + 2] = words[read + 4 * at - 3] end
      debts = call(unpack(asked))
    end
    for at = 1, meters do
      local field, count, unit, drain = unpack(words, read + 1, read + 4)
      read = read + 4
      local debt, when = 0, 0
      if debts[at] then
        local is_read, a, b, c, more = pcall(cmsgpack.unpack, debts[at])
        if not is_read or type(a) ~= 'number' or b ~= unit or type(c) ~= 'number' or more then
          is_refused = true
          break
        end
        debt, when = a, c
      end
      debt, when = math.max(debt - math.max(here - when, 0) * drain, 0), here
      local is_of_requests = string.sub(field, 1, 1) == 'r'
      if is_of_requests then debt = debt + unit end
      local room = count * unit - debt
      if room < 0 then
        is_refused = true
        break
      end
      local rest, run_off = (room - over(room, unit)) / unit, debt / drain
      if over(debt, drain) > 0 then run_off = (debt - over(debt, drain)) / drain + 1 end
      if is_of_requests then
        if requests < 0 or rest < requests_left then
          requests, requests_left, requests_reset = count, rest, run_off
        end
      elseif tokens < 0 or rest < tokens_left then
        tokens, tokens_left, tokens_reset = count, rest, run_off
      end
      kept.life = math.max(kept.life, run_off)
      kept[2 * at + 1], kept[2 * at + 2] = field, cmsgpack.pack(debt, unit, when)
    end
    if is_refused then break end
    written[scope] = kept
  end
  if is_refused then break end

  for _, kept in ipairs(written) do
    if #kept > 2 then
      call(unpack(kept))
      if call('PTTL', kept.account) < kept.life then call('PEXPIRE', kept.account, kept.life + spare) end
    end
    if kept.holds then
      call('ZREMRANGEBYSCORE', kept.holds, '-inf', now)
      call('ZADD', kept.holds, now + hold, id)
      local life = math.ceil(hold / 1000)
      if call('PTTL', kept.holds) < life then call('PEXPIRE', kept.holds, life + spare) end
    end
  end
  local numbers = struct.pack('>i8i8i8i8i8i8i8',
    age, requests, requests_left, requests_reset, tokens, tokens_left, tokens_reset)
  -- A longer one travels by itself (answers.lua).
  if #answer > 65536 then answer = 'large:answer' end
  return { words[1], 0, 'hit', numbers, answer }
until true
