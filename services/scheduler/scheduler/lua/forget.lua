-- Remove archived runs. ARGV: for each: id tid ext
for i = 1, #ARGV, 3 do
  local id, tid, ext = ARGV[i], ARGV[i+1], ARGV[i+2]
  local ws = redis.call('HGET', run_key(id), 'ws')
  unindex_running(id, ws or nil)
  redis.call('ZREM', P .. 'idx:pending', id)
  redis.call('ZREM', P .. 'idx:parked', id)
  redis.call('ZREM', P .. 'accepting', id)
  redis.call('ZREM', P .. 'idx:task:' .. tid, id)
  redis.call('DEL', run_key(id))
  if ext ~= '' then
    local held = redis.call('GET', P .. 'ext:' .. ext)
    if held and string.match(held, '^(%d+)') == id then redis.call('DEL', P .. 'ext:' .. ext) end
  end
end
return 0
