-- Write what answers changed, unless another process wrote since it was read.
--
-- KEYS  flow (hash) · out (sorted set) · history (sorted set)
-- ARGV  version read · found and counts as JSON · not_before · interval · slack · allowed_in_flight · quotas as JSON ·
--       seconds to keep it all · how many calls were refused · those calls … · the calls that were answered …
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end

local function exact(number)
  return string.format('%.17g', number)
end

local interval = tonumber(ARGV[4])
local flow = redis.call('HMGET', KEYS[1], 'interval', 'next_at', 'last_at')
local changed = {'version', exact(tonumber(ARGV[1]) + 1), 'learnt', ARGV[2], 'not_before', ARGV[3],
                 'interval', ARGV[4], 'slack', ARGV[5], 'allowed_in_flight', ARGV[6], 'quotas', ARGV[7]}
if interval < tonumber(flow[1]) then
  -- A call that was due by a slower rate is due sooner by a faster one.
  table.insert(changed, 'next_at')
  table.insert(changed, exact(math.min(tonumber(flow[2]), tonumber(flow[3]) + interval)))
end
redis.call('HSET', KEYS[1], unpack(changed))
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('EXPIRE', KEYS[3], ARGV[8])
local refused = tonumber(ARGV[9])
for index = 10, #ARGV do
  redis.call('ZREM', KEYS[index < 10 + refused and 3 or 2], ARGV[index])
end
return 1
