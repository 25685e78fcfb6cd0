-- What the steps are made of: keys and words in their order, the reply, whole numbers.

local EXACT = 9007199254740991
local HOUR = 3600000000

-- The first two have been read.
local keys_read, words_read, bytes_read = 0, 2, 1

local function key()
  keys_read = keys_read + 1
  return KEYS[keys_read]
end

local function text()
  words_read = words_read + 1
  return words[words_read]
end

local number = text

-- What is long, and goes as it is.
local function bytes()
  bytes_read = bytes_read + 1
  return ARGV[bytes_read]
end

local function is_said()
  return text() == 1
end

-- What a value that belongs to one key begins with, or has as its `key`.
local function name_of(key)
  return string.sub(key, -64)
end

-- The reply begins with the command's own name, so that no reply can be taken for another's, and with how
-- many values were not what their key says.
local reply = { words[1], 0 }

local function put(value)
  reply[#reply + 1] = value
end

local function fault()
  reply[2] = reply[2] + 1
end

-- `%` and `math.floor` of a quotient go wrong near 2^53; this does not.
local function over(a, b)
  return (a - math.fmod(a, b)) / b
end

local function over_rounded_up(a, b)
  local rest = math.fmod(a, b)
  if rest == 0 then return a / b end
  return (a - rest) / b + 1
end

-- For a string; `..` writes 15 digits and more as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- Lets a key live for so many milliseconds at least, and somewhat longer, so that the next call need not.
local function extend(name, millis)
  if redis.call('PTTL', name) < millis then
    redis.call('PEXPIRE', name, millis + spare)
  end
end

local function millis(micros)
  return over_rounded_up(math.max(micros, 0), 1000)
end
