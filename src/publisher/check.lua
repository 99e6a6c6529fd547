-- Tries every command the publisher needs, on keys of the log that no reader looks at. A denied command in the middle
-- of another script would leave half of its work done.
--
-- KEYS  a hash and a sorted set to try on
-- ARGV  channel, a message every reader ignores
-- reply the commands that failed, and why
local errors = {}

local function try(command, ...)
  local result = redis.pcall(command, ...)
  if type(result) == 'table' and result['err'] then errors[#errors + 1] = command .. ': ' .. result['err'] end
end

try('HSET', KEYS[1], 'f', 'v')
try('HGET', KEYS[1], 'f')
try('HMGET', KEYS[1], 'f')
try('HDEL', KEYS[1], 'f')
try('ZADD', KEYS[2], 0, 'm')
try('ZSCORE', KEYS[2], 'm')
try('ZCARD', KEYS[2])
try('ZRANGE', KEYS[2], 0, 0)
try('EXPIRE', KEYS[2], 60)
try('ZREMRANGEBYSCORE', KEYS[2], '-inf', '+inf')
try('PUBLISH', ARGV[1], ARGV[2])
return errors
