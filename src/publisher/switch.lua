-- Makes a seeded epoch the log's current epoch, if its set is complete.
--
-- KEYS  head, log of the new epoch
-- ARGV  owner, epoch, sentinel, number of events, owner, seq and hold of the log taken over (or ''), field, value, ...
-- reply { 'ok' or the reason for refusing, owner, epoch, seq, beat }, the last four as the head has them now
local owner, epoch, sentinel = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local head = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq', 'beat')

-- The log is still held, so nothing was published since it was read. The sequence number detects a writer that ignores
-- the hold.
local function isTakenOver()
  local hold = redis.call('HGET', string.sub(KEYS[1], 1, -5) .. 'hold', 'token')
  return head[1] == ARGV[5] and head[3] == ARGV[6] and hold == ARGV[7]
end

local function reply(status)
  return { status, head[1] or '', head[2] or '0', head[3] or '0', head[4] or '0' }
end

if head[1] then
  -- The call is sent again because its answer was lost.
  if head[1] == owner and tonumber(head[2]) == epoch then return reply('ok') end
  if head[1] ~= owner and not isTakenOver() then return reply('owner') end
  if (tonumber(head[2]) or 0) >= epoch then return reply('epoch') end
end
if not redis.call('ZSCORE', KEYS[2], sentinel) then return reply('sentinel') end
if redis.call('ZCARD', KEYS[2]) ~= tonumber(ARGV[4]) + 1 then return reply('count') end

for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
head = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq', 'beat')
return reply('ok')
