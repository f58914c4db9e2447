-- Ask for the end of one run. ARGV: id now summary waiting_only (1 = leave it alone if it runs), who asks and why
-- Answers {verdict, session}: aborted (it had not started: now done) | asked (its worker must stop it) | running (left alone) | done
--   | unknown
local id, now, summary = ARGV[1], ARGV[2], ARGV[3]
local key = run_key(id)
local st, ws, ab = unpack(redis.call('HMGET', key, 'st', 'ws', 'ab'))
if not st then return {'unknown', ''} end
if st == 'd' then return {'done', ''} end
if st == 'r' and ARGV[4] == '1' then return {'running', ''} end
if st == 'r' then
  if not ab then redis.call('HSET', key, 'ab', now, 'aw', ARGV[5]) end
  return {'asked', ws}
end
redis.call('ZREM', P .. 'idx:pending', id)
redis.call('ZREM', P .. 'idx:parked', id)
settle(id, 'ab', now, 'up', now, 'end', summary)
return {'aborted', ''}
