-- Remove archived runs. ARGV: for each: id tid ext
for i = 1, #ARGV, 3 do
  local id, tid, ext = ARGV[i], ARGV[i+1], ARGV[i+2]
  local st, sc = unpack(redis.call('HMGET', run_key(id), 'st', 'sc'))
  if st == 'p' then redis.call('ZREM', P .. 'idx:pending', id) end
  if st == 'k' then redis.call('ZREM', P .. 'idx:parked', id) end
  if st == 'r' then redis.call('ZREM', P .. 'leases', id) end
  redis.call('ZREM', P .. 'idx:ended', id)
  redis.call('ZREM', P .. 'idx:task:' .. tid, id)
  if sc then
    for _, key in ipairs(scope_keys(sc)) do redis.call('ZREM', key, id) end
  end
  redis.call('DEL', run_key(id))
  if ext ~= '' then
    local held = redis.call('GET', P .. 'ext:' .. ext)
    if held and string.match(held, '^(%d+)') == id then redis.call('DEL', P .. 'ext:' .. ext) end
  end
end
return 0
