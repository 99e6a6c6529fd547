-- Publishes revocations on a log that `curfew log create` made. Call it from your own code. Either it writes all events
-- to the log, or it writes none and returns an error.
--
-- KEYS  the log's head: {curfew}:head for the log named curfew
-- ARGV  1 to 500 events, each as JSON:
--         iss     the issuer, as in the tokens
--         kind    session, token, subject, client, issuer or key
--         id      what is revoked, 1 to 256 characters; absent for issuer
--         at      optional: seconds since 1970 by the issuer's clock. Tokens of a subject, a client or an issuer are
--                 refused if they were issued at that time or before. Default: the time of Redis plus the tolerance
--         reason  optional: the reason, for logs; 1 to 64 characters of a-z 0-9 _ -
-- reply the number of the last event in the log
--
-- Errors: NOLOG (the log doesn't exist, or it vanished), OWNED (an owner writes the log now), BADEVENT (an event is
-- invalid). After HELD (an owner is taking over the log), any other error, or no answer, publish again. It does no harm
-- to publish an event twice.

local maxEvents = 500
local maxRepeated = 500
-- Entries that one call removes at most. More would block Redis for other clients.
local maxTrimmed = 1000
local maxKeys = 1000
local maxIdUnits = 256
local maxAt = 1e11
-- How far one call can advance the log's clock; ms.
local maxStepMs = 5000
-- How much longer than the retention entries stay; ms.
local spareMs = 60000

local headKey = KEYS[1]
local prefix = string.sub(headKey, 1, -5)
local fields = redis.call('HMGET', headKey, 'owner', 'truth', 'epoch', 'seq', 'covers', 'retention', 'toleranceMs',
  'trimBelow', 'trimTo', 'turnSeq', 'turnMs', 'clockMs', 'seenMs')
local owner, truth, epoch = fields[1], fields[2], fields[3]
local logKey = prefix .. 'log:' .. tostring(epoch)
local keysKey = prefix .. 'keys:' .. tostring(epoch)

if not owner then return redis.error_reply('NOLOG there is no revocation log: run curfew log create') end
if truth ~= 'redis' then
  return redis.error_reply('OWNED the revocation log belongs to owner ' .. owner .. ': revoke there')
end
if redis.call('HGET', prefix .. 'hold', 'token') then
  return redis.error_reply('HELD an owner is taking over the revocation log: publish again in a moment')
end
if redis.call('ZCOUNT', logKey, 0, 0) ~= 1 then
  return redis.error_reply('NOLOG the revocation log vanished: run curfew log create')
end
if #ARGV < 1 or #ARGV > maxEvents then
  return redis.error_reply('BADEVENT there must be 1 to ' .. maxEvents .. ' events')
end

local seq = tonumber(fields[4])
local toleranceMs = tonumber(fields[7]) or 0
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local latestAt = (nowMs + toleranceMs) / 1000

local isCovered = {}
for _, issuer in ipairs(cjson.decode(fields[5])) do isCovered[issuer] = true end
local isKind = { session = true, token = true, subject = true, client = true, issuer = true, key = true }

-- The length in UTF-16 code units, as JavaScript counts it: a character beyond U+FFFF counts as two.
local function units(text)
  local _, characters = string.gsub(text, '[^\128-\191]', '')
  local _, wide = string.gsub(text, '[\240-\247]', '')
  return characters + wide
end

local function given(value)
  if value == cjson.null then return nil end
  return value
end

-- Returns the event, or nil and the problem. Readers treat an event that they can't apply as a cut-off of the whole
-- issuer, so such an event must not get into the log.
local function read(text)
  local isJson, event = pcall(cjson.decode, text)
  if not isJson or type(event) ~= 'table' then return nil, 'is no JSON object' end
  local iss, kind, id = given(event.iss), given(event.kind), given(event.id)
  local at, reason = given(event.at), given(event.reason)
  if event.v ~= nil and event.v ~= 1 then return nil, 'is of another version' end
  if type(iss) ~= 'string' or not isCovered[iss] then return nil, 'is of an issuer that the log does not cover' end
  if type(kind) ~= 'string' or not isKind[kind] then return nil, 'is of no known kind' end
  if kind == 'issuer' then id = iss end
  if type(id) ~= 'string' or id == '' or (kind ~= 'issuer' and units(id) > maxIdUnits) then
    return nil, 'needs an id of 1 to ' .. maxIdUnits .. ' characters'
  end
  if at == nil then at = latestAt end
  if type(at) ~= 'number' or not (at >= 0 and at <= maxAt) then return nil, 'has an `at` that is no time in seconds' end
  if reason ~= nil and (type(reason) ~= 'string' or #reason > 64 or not string.find(reason, '^[a-z0-9_-]+$')) then
    return nil, 'has a reason that is not 1 to 64 characters of a-z 0-9 _ -'
  end
  -- A cut-off later than the issuer's clock can be would refuse tokens that don't exist yet.
  return { iss = iss, kind = kind, id = id, at = math.min(at, latestAt), reason = reason }
end

local function write(event, number)
  local reason = event.reason and ',"reason":' .. cjson.encode(event.reason) or ''
  return '{"v":1,"seq":' .. string.format('%.0f', number) .. ',"iss":' .. cjson.encode(event.iss) .. ',"kind":"' ..
    event.kind .. '","id":' .. cjson.encode(event.id) .. ',"at":' .. string.format('%.3f', event.at) .. reason .. '}'
end

local function keyName(event) return event.iss .. ' ' .. event.id end

local events = {}
local newKeys = 0
for i, text in ipairs(ARGV) do
  local event, problem = read(text)
  if not event then return redis.error_reply('BADEVENT event ' .. i .. ' ' .. problem) end
  if event.kind == 'key' and not redis.call('HGET', keysKey, keyName(event)) then newKeys = newKeys + 1 end
  events[i] = event
end
if newKeys > 0 and redis.call('HLEN', keysKey) + newKeys > maxKeys then
  return redis.error_reply('BADEVENT more than ' .. maxKeys .. ' revoked keys')
end

-- Decides which entries to trim. The log has its own clock, which can only be slow: a step of the clock of Redis, or
-- the clock of another master, advances it by no more than a few seconds. Entries are trimmed by generations. A new
-- generation starts once per retention, and the entries before it are trimmed one retention later. So each entry stays
-- for at least one retention and at most two.
local trimBelow, trimTo = tonumber(fields[8]), tonumber(fields[9])
local turnSeq, turnMs = tonumber(fields[10]), tonumber(fields[11])
local clockMs = tonumber(fields[12]) + math.max(0, math.min(nowMs - tonumber(fields[13]), maxStepMs))
if clockMs - turnMs >= tonumber(fields[6]) * 1000 + spareMs then
  trimTo, turnSeq, turnMs = turnSeq, seq, clockMs
end
local below = math.min(trimTo + 1, trimBelow + maxTrimmed)

-- A revoked key never expires, so its entry is appended again before it is trimmed.
local repeated = 0
if below > trimBelow then
  local old = redis.call('ZRANGEBYSCORE', logKey, trimBelow, '(' .. string.format('%.0f', below), 'WITHSCORES')
  for i = 1, #old, 2 do
    local isKey = string.find(old[i], '"kind":"key"', 1, true)
    local event = isKey and cjson.decode(old[i])
    local latest = event and event.kind == 'key' and redis.call('HGET', keysKey, keyName(event))
    if event and event.kind == 'key' and (not latest or tonumber(latest) == tonumber(old[i + 1])) then
      if repeated == maxRepeated then
        below = tonumber(old[i + 1])
        break
      end
      repeated = repeated + 1
      event.reason = given(event.reason)
      events[#events + 1] = event
    end
  end
end

local members, entries = {}, {}
for i, event in ipairs(events) do
  members[i] = write(event, seq + i)
  entries[#entries + 1] = string.format('%.0f', seq + i)
  entries[#entries + 1] = members[i]
end
local last = string.format('%.0f', seq + #events)
redis.call('ZADD', logKey, unpack(entries))
redis.call('HSET', headKey, 'seq', last)
redis.call('PUBLISH', prefix .. 'events', '{"v":1,"owner":' .. cjson.encode(owner) .. ',"epoch":' .. epoch ..
  ',"seq":' .. last .. ',"events":[' .. table.concat(members, ',') .. ']}')

for i, event in ipairs(events) do
  if event.kind == 'key' then redis.call('HSET', keysKey, keyName(event), string.format('%.0f', seq + i)) end
end
-- First `trimBelow`: without it, the missing entries would look like a damaged log.
redis.call('HSET', headKey, 'trimTo', string.format('%.0f', trimTo), 'turnSeq', string.format('%.0f', turnSeq),
  'turnMs', string.format('%.0f', turnMs), 'clockMs', string.format('%.0f', clockMs),
  'seenMs', string.format('%.0f', nowMs), 'trimBelow', string.format('%.0f', math.max(below, trimBelow)))
if below > trimBelow then redis.call('ZREMRANGEBYSCORE', logKey, 1, '(' .. string.format('%.0f', below)) end
return seq + #events
