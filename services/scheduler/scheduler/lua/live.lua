-- How many runs of each task are live, and the oldest of them (0 = there is none). ARGV: task ids
local found = {}
for i = 1, #ARGV do
  local key = P .. 'idx:task:' .. ARGV[i]
  local count = redis.call('ZCARD', key)
  found[2 * i - 1] = count
  found[2 * i] = count > 0 and tonumber(redis.call('ZRANGE', key, 0, 0)[1]) or 0
end
return found
