-- Appends events to the current epoch of the log and publishes them. Either does all of it or writes nothing.
--
-- KEYS  head, log of the epoch
-- ARGV  channel, owner, epoch, sentinel, seq expected, beat expected (or ''), trim below (or ''), message, event ...
-- reply { 'ok' or the reason for refusing, owner, epoch, seq, beat }, the last four as the head has them now
--
-- A call without an answer is sent again unchanged. The second call then finds that `seq` has already moved, and does
-- only what is left. The beat is raised by one, and only from the expected value, so one drain never raises it twice.
local channel, owner, epoch, sentinel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local expected = tonumber(ARGV[5])
local first = 9
local count = #ARGV - first + 1

local head = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq', 'beat', 'trimBelow')
local seq, beat, trimmed = tonumber(head[3]), tonumber(head[4]), tonumber(head[5])

local function reply(status)
  return { status, head[1] or '', head[2] or '0', string.format('%.0f', seq or 0), string.format('%.0f', beat or 0) }
end

if not head[1] then return reply('absent') end
if head[1] ~= owner then return reply('owner') end
if head[2] ~= epoch then return reply('epoch') end
if not redis.call('ZSCORE', KEYS[2], sentinel) then return reply('sentinel') end

local last = expected + count
if seq == expected then
  if count > 0 then
    local entries = {}
    for i = 1, count do
      entries[#entries + 1] = string.format('%.0f', expected + i)
      entries[#entries + 1] = ARGV[first + i - 1]
    end
    redis.call('ZADD', KEYS[2], unpack(entries))
    seq = last
    redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq))
    redis.call('PUBLISH', channel, ARGV[8])
  end
elseif seq ~= last then
  return reply('seq')
end

if ARGV[6] ~= '' and beat == tonumber(ARGV[6]) then
  beat = beat + 1
  redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', beat))
end

local below = tonumber(ARGV[7])
if below and below > trimmed and below <= seq then
  -- First `trimBelow`: without it, the missing entries would look like a damaged log.
  redis.call('HSET', KEYS[1], 'trimBelow', string.format('%.0f', below))
  redis.call('ZREMRANGEBYSCORE', KEYS[2], 1, string.format('(%.0f', below))
end
return reply('ok')
