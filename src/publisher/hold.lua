-- Keeps third-party code from writing a log without an owner while an owner takes over the last part of the log. The
-- hold expires by itself: if the owner dies meanwhile, the log stays as it was.
--
-- KEYS  head, hold
-- ARGV  owner and epoch of the log, a token that is unique to this hold, '1' to start the hold or '0' to prolong it
-- reply 1; or 0 if the log has another owner or epoch, if another process holds it, or if the hold has expired
--
-- A hold that still exists proves two things to switch.lua: nothing was published since the hold started, and this
-- Redis has everything that was published before, even if it was promoted meanwhile.
local seconds = 5
local head = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'truth')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] or head[3] ~= 'redis' then return 0 end

local token = redis.call('HGET', KEYS[2], 'token')
if ARGV[4] == '1' then
  if token then return 0 end
  redis.call('HSET', KEYS[2], 'token', ARGV[3])
elseif token ~= ARGV[3] then
  return 0
end
redis.call('EXPIRE', KEYS[2], seconds)
return 1
