-- Keeps other people's code from writing a log whose truth is Redis, for as long as its last part is taken over. It
-- ends by itself: an owner that dies on the way leaves the log as it was.
--
-- KEYS  head, hold
-- ARGV  owner and epoch of the log, a token that is used for one hold only, '1' to begin it or '0' to prolong it
-- reply 1, or 0: the log is another's, or so is the hold, or it is over
--
-- A hold that is still there proves two things to the switch: nothing was published since it began, and the Redis that
-- holds the log has all that was published before, also if it was promoted meanwhile.
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
