-- Raise versions of tasks; a lower one changes nothing. ARGV: 2 for each: task id, version
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', P .. 'task_versions', ARGV[i])
  if not held or tonumber(held) < tonumber(ARGV[i+1]) then
    redis.call('HSET', P .. 'task_versions', ARGV[i], ARGV[i+1])
  end
end
return 0
