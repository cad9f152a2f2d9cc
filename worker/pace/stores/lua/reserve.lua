-- Grant one call of a credential: one script at a time, by the clock of the server.
-- The arithmetic is that of `estimator.pace.reserve`; a test compares the two.
--
-- KEYS  flow (hash) · out (sorted set: call → when its lease ends)
--       asking (sorted set: process → when it last asked, or will again) · waiting (sorted set: process → rows that its shortest waiting job has left)
-- ARGV  process · its calls in flight · lease in seconds · seconds of idleness that begin a cycle ·
--       rows that its shortest waiting job has left · every n-th call goes to any job
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function exact(number)
  return string.format('%.17g', number)
end

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then
  return {'unknown', exact(now)}
end
local names = {'next_at', 'sent', 'last_at', 'left', 'left_until', 'not_before', 'interval', 'slack',
               'allowed_in_flight'}
local flow = {}
for index, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  flow[names[index]] = tonumber(value)
end

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
if flow.left < 1 and flow.left_until > now then
  return later('pause', flow.left_until - now)
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
local changed = {'next_at', exact(due + flow.interval), 'sent', exact(number), 'last_at', exact(now),
                 'left', exact(flow.left - 1)}
local idle = now - math.max(flow.last_at, flow.not_before)
if in_flight == 0 and idle > math.max(tonumber(ARGV[4]), 3 * flow.interval) then
  table.insert(changed, 'fresh_from')
  table.insert(changed, exact(now))
end
redis.call('HSET', KEYS[1], unpack(changed))
redis.call('ZADD', KEYS[2], exact(now + tonumber(ARGV[3])), exact(number))
return {'go', exact(now), exact(number), in_flight + 1, asking}
