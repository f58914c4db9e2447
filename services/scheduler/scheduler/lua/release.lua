-- Let a parked run go on. ARGV: id token now
-- Answers: ok (pending now: publish it) | unknown | later (the end of its attempt is still being applied) | gone
local id, token, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = run_key(id)
local st, tk, cr = unpack(redis.call('HMGET', key, 'st', 'tk', 'cr'))
if not st then return 'unknown' end
tk = tonumber(tk)
if st == 'k' then
  redis.call('ZREM', P .. 'idx:parked', id)
  redis.call('HSET', key, 'st', 'p', 'nb', 0, 'why', '', 'up', now)
  redis.call('ZADD', P .. 'idx:pending', cr, id)
  return 'ok'
end
if st == 'p' and tk <= token then return 'ok' end
if st == 'r' and tk == token then return 'later' end
return 'gone'
