-- Tries every command that the publisher needs, on keys that no reader reads. A command that is denied in the middle
-- of another script would leave that script's work half done.
--
-- KEYS  a hash and a sorted set for the attempts
-- ARGV  channel, a message that every reader ignores
-- reply the commands that failed, with their errors
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
