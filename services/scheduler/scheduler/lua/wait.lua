-- Say why parked runs wait. ARGV: 2 for each: id why. A run that waits no more is left alone.
for i = 1, #ARGV, 2 do
  local key = run_key(ARGV[i])
  if redis.call('HGET', key, 'st') == 'k' then redis.call('HSET', key, 'why', ARGV[i+1]) end
end
return 0
