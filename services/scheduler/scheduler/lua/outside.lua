-- What a client says about one run. ARGV: id now percent ("" = not said) summary ("" = it goes on)
-- Answers {verdict, session}: ok | ended (by this) | done (before) | unknown; session: of a worker that must stop.
-- The token grows, so that what its worker says later is refused.
local id, now, percent, summary = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = run_key(id)
local st, ws = unpack(redis.call('HMGET', key, 'st', 'ws'))
if not st then return {'unknown', ''} end
if st == 'd' then return {'done', ''} end
if percent ~= '' then redis.call('HSET', key, 'dn', percent, 'to', '100', 'up', now) end
if summary == '' then return {'ok', ''} end
if st == 'r' then
  redis.call('ZREM', P .. 'leases', id)
  redis.call('HINCRBY', key, 'tk', 1)
else
  redis.call('ZREM', P .. 'idx:pending', id)
  redis.call('ZREM', P .. 'idx:parked', id)
end
settle(id, 'up', now, 'end', summary)
return {'ended', st == 'r' and ws or ''}
