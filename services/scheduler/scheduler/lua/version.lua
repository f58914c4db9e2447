-- Raise a task's version; a lower one changes nothing. ARGV: task id, version
local held = redis.call('HGET', P .. 'task_versions', ARGV[1])
if not held or tonumber(held) < tonumber(ARGV[2]) then redis.call('HSET', P .. 'task_versions', ARGV[1], ARGV[2]) end
return 0
