-- Grant one call of a credential: one script at a time, by the clock of the server.
-- The arithmetic is that of `estimator.pace.reserve`; a test compares the two.
--
-- KEYS  flow (hash) · out (sorted set: call → when its lease ends)
--       asking (sorted set: process → when it last asked, or will again) · waiting (sorted set: process → rows that its shortest waiting job has left) ·
--       history (sorted set: call → when it was sent)
-- ARGV  process · its calls in flight · lease in seconds · seconds of idleness that begin a cycle ·
--       rows that its shortest waiting job has left · every n-th call goes to any job · calls that the history keeps
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function exact(number)
  return string.format('%.17g', number)
end

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then
  return {'unknown', exact(now)}
end
local names = {'next_at', 'sent', 'last_at', 'not_before', 'interval', 'slack', 'allowed_in_flight'}
local flow = {}
for index, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  flow[names[index]] = tonumber(value)
end
local quotas = cjson.decode(redis.call('HGET', KEYS[1], 'quotas') or '[]')

redis.call('ZADD', KEYS[3], exact(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', exact(now - 1))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', exact(now))
local asking = redis.call('ZCARD', KEYS[3])
local in_flight = redis.call('ZCARD', KEYS[2])

local function later(why, seconds)
  -- A process that waits asks again after that time, and counts until a second later.
  redis.call('ZADD', KEYS[3], exact(now + math.min(seconds, 5)), ARGV[1])
  redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
  redis.call('EXPIRE', KEYS[4], 60)
  return {why, exact(now), exact(seconds), asking}
end

if flow.not_before > now then
  return later('pause', flow.not_before - now)
end
-- A process that has its share leaves the next slot to the others.
local share = math.ceil(flow.allowed_in_flight / asking)
if in_flight >= flow.allowed_in_flight or (asking > 1 and tonumber(ARGV[2]) >= share) then
  return later('full', 0.03)
end

-- When the stated quotas let the next call go: that of `estimator.quota_gate`.
local function sent_until(moment)
  return redis.call('ZCOUNT', KEYS[5], '-inf', exact(moment))
end

local function bucket_wait(quota)
  local left = quota.left + quota.refill * (now - quota.left_at) - (flow.sent - quota.number)
  local missing = math.min(quota.calls, 1 + quota.margin) - math.min(quota.calls, left)
  if missing <= 0 then
    return 0
  end
  return quota.refill > 0 and missing / quota.refill or quota.seconds
end

local function is_longer(quota)
  local seen = math.max(quota.left_at, quota.full_at)
  local first = sent_until(math.max(quota.since, seen - quota.seconds - quota.margin))
  local oldest = redis.call('ZRANGE', KEYS[5], first, first, 'WITHSCORES')[2]
  return not oldest or tonumber(oldest) + quota.seconds + quota.margin <= quota['until'] - quota.rounding
end

local function window_wait(quota)
  if quota.kind == 'unknown' and quota.left < 1 and quota['until'] > now and is_longer(quota) then
    return quota['until'] - now
  end
  local calls = redis.call('ZCARD', KEYS[5])
  local begun = sent_until(math.max(quota.since, now - quota.seconds - quota.margin))
  local allowed = math.max(1, quota.calls - math.floor(quota.others + quota.reserve + 0.5))
  local over = calls - begun + 1 - allowed
  if over <= 0 or quota.left >= in_flight + 1 + quota.reserve then
    return 0
  end
  if quota.kind ~= 'sliding' and quota['until'] <= now then
    local after = calls - sent_until(quota.left_at > 0 and math.min(quota.left_at, quota['until']) or quota['until'])
    if after == 0 or (not quota.alone and after + 1 <= allowed) then
      return 0
    end
  end
  local leaves = begun + math.ceil(over) - 1
  local moment = now + quota.seconds
  if leaves < calls then
    moment = tonumber(redis.call('ZRANGE', KEYS[5], leaves, leaves, 'WITHSCORES')[2]) + quota.seconds + quota.margin
  end
  if quota.kind ~= 'sliding' and quota['until'] > now then
    moment = math.min(moment, quota['until'])
  end
  return math.max(0, moment - now)
end

local stated = 0
for _, quota in ipairs(quotas) do
  stated = math.max(stated, quota.kind == 'bucket' and bucket_wait(quota) or window_wait(quota))
end
if stated > 0 then
  return later('quota', stated)
end
local due = math.max(flow.next_at, now - flow.slack)
if due > now then
  return later('pace', due - now)
end

-- A job of at most four fifths of the length that waits in another process goes first, for as long as the delay can be made up.
local function a_shorter_one_waits()
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', tonumber(ARGV[5]) * 0.8)) do
    if process ~= ARGV[1] then
      if redis.call('ZSCORE', KEYS[3], process) then
        return true
      end
      redis.call('ZREM', KEYS[4], process)
    end
  end
  return false
end

local number = flow.sent + 1
local may_wait = math.min(flow.slack * 0.8, 0.5)
if tonumber(ARGV[5]) >= 1 and number % tonumber(ARGV[6]) ~= 0 and now - flow.next_at < may_wait
    and a_shorter_one_waits() then
  return later('pace', 0.002)
end
redis.call('ZREM', KEYS[4], ARGV[1])
local changed = {'next_at', exact(due + flow.interval), 'sent', exact(number), 'last_at', exact(now)}
local idle = now - math.max(flow.last_at, flow.not_before)
if in_flight == 0 and idle > math.max(tonumber(ARGV[4]), 3 * flow.interval) then
  table.insert(changed, 'fresh_from')
  table.insert(changed, exact(now))
end
redis.call('HSET', KEYS[1], unpack(changed))
redis.call('ZADD', KEYS[2], exact(now + tonumber(ARGV[3])), exact(number))
redis.call('ZADD', KEYS[5], exact(now), exact(number))
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -tonumber(ARGV[7]) - 1)
return {'go', exact(now), exact(number), in_flight + 1, asking}
