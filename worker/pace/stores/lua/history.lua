-- Return when the last calls were sent, oldest first, as one string: a client reads two thousand replies slowly.
--
-- KEYS  history (sorted set: call → when it was sent)
local times = {}
local calls = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for index = 2, #calls, 2 do
  table.insert(times, calls[index])
end
return table.concat(times, ' ')
