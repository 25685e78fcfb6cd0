-- Of the one operation before the upstream call what nearly every cache hit is: an answer that is fresh, for a
-- caller within all his limits. It stands before the functions that all the rest needs, for a script makes those
-- anew at each run, and they cost more than this. What it does is what open.lua would do; what is not so plain
-- it leaves to open.lua, and has then changed nothing.

repeat
  local _, _, id, _, anew, recalls, fresh, _, _, _, repeats, counts, reserves, _, hold, scopes =
    unpack(words, 1, 16)
  if recalls == 0 or anew == 1 or repeats == 1 or counts == 1 or reserves == 0 then break end

  local call, over, key = redis.call, math.fmod, KEYS[1]
  local answer = call('GET', key)
  if not answer or #answer < 88 or string.find(answer, string.sub(key, -64), 1, true) ~= 1 then break end
  local since, till = struct.unpack('>i8i8', answer, 65)
  local age = math.max(now - since, 0)
  if age >= fresh or till <= now then break end

  -- What is left of requests and of tokens: the tightest rate's count, the rest, when all of it is there again.
  local left, written, is_refused = { -1, 0, 0, -1, 0, 0 }, {}, false
  local here, read, keys_read = (now - over(now, 1000)) / 1000, 16, 1
  for scope = 1, scopes do
    local account, most, meters = KEYS[keys_read + 1], words[read + 1], words[read + 2]
    keys_read, read = keys_read + 1, read + 2
    local kept = { account = account, life = 0, 'HSET', account }
    if most >= 0 then
      keys_read = keys_read + 1
      kept.holds = KEYS[keys_read]
      is_refused = call('ZCOUNT', kept.holds, now + 1, '+inf') >= most
    end
    local asked = { 'HMGET', account }
    for at = 1, meters do asked[at + 2] = words[read + 4 * at - 3] end
    local debts = meters > 0 and call(unpack(asked))
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
      if here > when then debt, when = math.max(debt - (here - when) * drain, 0), here end
      local kind = string.sub(field, 1, 1) == 'r' and 1 or 4
      if kind == 1 then debt = debt + unit end
      local room = count * unit - debt
      if room < 0 then
        is_refused = true
        break
      end
      local rest, run_off = (room - over(room, unit)) / unit, debt / drain
      if over(debt, drain) > 0 then run_off = (debt - over(debt, drain)) / drain + 1 end
      if left[kind] < 0 or rest < left[kind + 1] then
        left[kind], left[kind + 1], left[kind + 2] = count, rest, run_off
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
  return { words[1], 0, 'hit', struct.pack('>i8i8i8i8i8i8i8', age, unpack(left)), answer }
until true
