-- Say which queues are paused. ARGV: "1" when these are all there are, then 3 for each: name version p|a
-- An older version changes nothing, so that whoever restores what Redis has lost can't undo a newer decision.
local queues = P .. 'queues'
for i = 2, #ARGV, 3 do
  local old = redis.call('HGET', queues, ARGV[i])
  if not old or tonumber(string.sub(old, 1, -2)) < tonumber(ARGV[i+1]) then
    redis.call('HSET', queues, ARGV[i], ARGV[i+1] .. ARGV[i+2])
  end
end
if ARGV[1] == '1' then redis.call('HSET', queues, '*', '1') end
return 1
