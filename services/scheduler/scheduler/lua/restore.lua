-- Give a lease back to the worker that holds it, after Redis had lost it and the run was rebuilt as pending.
-- ARGV: id token attempt worker session hostname started now lease_ms items. Answers 1 when it did.
local id, token, attempt, worker, session, hostname, started, now, lease_ms, items = unpack(ARGV)
local key = run_key(id)
local st, tk = unpack(redis.call('HMGET', key, 'st', 'tk'))
if st ~= 'p' or tonumber(token) <= tonumber(tk) then return 0 end
hold(id, key, token, attempt, worker, session, hostname, started, now + lease_ms)
redis.call('HSET', key, 'up', now, 'lm', lease_ms, 'it', items)
return 1
