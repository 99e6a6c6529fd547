-- Writes a part of a new epoch's log. Readers don't read it before the switch.
--
-- KEYS  head, log of the new epoch
-- ARGV  owner, epoch, sentinel, '1' for the first part, owner whose log is taken over (or ''), first seq, event ...
-- reply { 'ok' or the reason for refusing, owner, epoch, seq, beat }, the last four as the head has them now
--
-- The first part removes what an aborted attempt left. The sentinel names the owner, so a part is refused once another
-- owner has started to seed the same set.
local owner, epoch, sentinel, seq = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[6])
local first = 7
local prefix = string.sub(KEYS[1], 1, -5)
local head = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq', 'beat')

local function reply(status)
  return { status, head[1] or '', head[2] or '0', head[3] or '0', head[4] or '0' }
end

if head[1] then
  if head[1] ~= owner and head[1] ~= ARGV[5] then return reply('owner') end
  if (tonumber(head[2]) or 0) >= epoch then return reply('epoch') end
end

if ARGV[4] == '1' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '+inf')
  redis.call('ZADD', KEYS[2], 0, sentinel)
elseif not redis.call('ZSCORE', KEYS[2], sentinel) then
  return reply('sentinel')
end

local entries = {}
for i = first, #ARGV do
  entries[#entries + 1] = string.format('%.0f', seq + i - first)
  entries[#entries + 1] = ARGV[i]
end
if #entries > 0 then redis.call('ZADD', KEYS[2], unpack(entries)) end
-- Prolongs the hold of a takeover for as long as the seed takes.
if ARGV[5] ~= '' then redis.call('EXPIRE', prefix .. 'hold', 5) end
return reply('ok')
