-- The runs of one queue in part of an index. ARGV: index offset count queue
-- Answers {ids looked at, then each id of that queue}
local ids = redis.call('ZRANGE', P .. ARGV[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local out = {#ids}
for _, id in ipairs(ids) do
  if redis.call('HGET', run_key(id), 'q') == ARGV[4] then out[#out+1] = tonumber(id) end
end
return out
