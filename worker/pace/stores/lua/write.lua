-- Write what answers changed, unless another process wrote since it was read.
--
-- KEYS  flow (hash) · out (sorted set)
-- ARGV  version read · found and counts as JSON · not_before · interval · slack · allowed_in_flight ·
--       left, left_until and the number of the last call when they were read (or empty: as they are) ·
--       seconds to keep it all · the calls that were answered …
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end

local function exact(number)
  return string.format('%.17g', number)
end

local interval = tonumber(ARGV[4])
local flow = redis.call('HMGET', KEYS[1], 'interval', 'next_at', 'last_at', 'sent')
local changed = {'version', exact(tonumber(ARGV[1]) + 1), 'learnt', ARGV[2], 'not_before', ARGV[3],
                 'interval', ARGV[4], 'slack', ARGV[5], 'allowed_in_flight', ARGV[6]}
if interval < tonumber(flow[1]) then
  -- A call that was due by a slower rate is due sooner by a faster one.
  table.insert(changed, 'next_at')
  table.insert(changed, exact(math.min(tonumber(flow[2]), tonumber(flow[3]) + interval)))
end
if ARGV[7] ~= '' then
  local since = tonumber(flow[4]) - tonumber(ARGV[9])
  for _, value in ipairs({'left', exact(tonumber(ARGV[7]) - since), 'left_until', ARGV[8]}) do
    table.insert(changed, value)
  end
end
redis.call('HSET', KEYS[1], unpack(changed))
redis.call('EXPIRE', KEYS[1], ARGV[10])
for index = 11, #ARGV do
  redis.call('ZREM', KEYS[2], ARGV[index])
end
return 1
