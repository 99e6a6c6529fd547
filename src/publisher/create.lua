-- Creates a log without an owner, which exists in Redis alone. It starts with a cut-off for each issuer, because nobody
-- knows what was revoked before.
--
-- KEYS  head
-- ARGV  owner, covers, retention in s, tolerance in ms, issuer ...
-- reply { 'created', epoch, seq } or { 'exists' }
--
-- If the head exists but its log has vanished, the log is created again under the next epoch.
local owner, covers, retention, tolerance = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local first = 5
local prefix = string.sub(KEYS[1], 1, -5)

local head = redis.call('HMGET', KEYS[1], 'owner', 'truth', 'epoch')
local before = tonumber(head[3]) or 0
local function isWhole() return redis.call('ZCOUNT', prefix .. 'log:' .. head[3], 0, 0) == 1 end
if head[1] and (head[2] ~= 'redis' or before == 0 or isWhole()) then return { 'exists' } end

local epoch = string.format('%.0f', before + 1)
local log = prefix .. 'log:' .. epoch
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local seq = 0

redis.call('DEL', log, prefix .. 'keys:' .. epoch)
redis.call('ZADD', log, 0, '{"v":1,"epoch":' .. epoch .. ',"owner":' .. cjson.encode(owner) .. '}')
for i = first, #ARGV do
  seq = seq + 1
  local issuer = cjson.encode(ARGV[i])
  local at = string.format('%.3f', (nowMs + tolerance) / 1000)
  redis.call('ZADD', log, seq, '{"v":1,"seq":' .. seq .. ',"iss":' .. issuer .. ',"kind":"issuer","id":' .. issuer ..
    ',"at":' .. at .. ',"reason":"log_created"}')
end

local now = string.format('%.0f', nowMs)
redis.call('HSET', KEYS[1], 'v', '1', 'owner', owner, 'covers', covers, 'truth', 'redis', 'epoch', epoch,
  'seq', seq, 'beat', '0', 'trimBelow', '1', 'retention', retention, 'toleranceMs', ARGV[4],
  'trimTo', '0', 'turnSeq', seq, 'turnMs', '0', 'clockMs', '0', 'seenMs', now)
return { 'created', epoch, tostring(seq) }
