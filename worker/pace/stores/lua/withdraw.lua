-- Cancel the grant of a call that was not made: free its slot; rewind the schedule if no later call was granted.
--
-- KEYS  flow (hash) · out (sorted set) · history (sorted set)
-- ARGV  the call
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
local flow = redis.call('HMGET', KEYS[1], 'sent', 'next_at', 'interval')
if flow[1] and tonumber(flow[1]) == tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'next_at', string.format('%.17g', tonumber(flow[2]) - tonumber(flow[3])))
end
return 1
