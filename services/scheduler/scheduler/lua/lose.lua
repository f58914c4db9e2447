-- Take a run back from a worker that is gone. ARGV: id session ("" = whoever) now summary_failed summary_aborted token
--   token: only this lease ("" = any); counts: 1 = the attempt counts, 0 = it was given back unharmed
-- Answers {verdict, attempt}: requeued | failed | aborted | no
local id, session, now, failed, aborted, token, counts = unpack(ARGV, 1, 7)
local key = run_key(id)
local st, ws, ab, at, mr, tk, cr = unpack(redis.call('HMGET', key, 'st', 'ws', 'ab', 'at', 'mr', 'tk', 'cr'))
if st ~= 'r' or (session ~= '' and ws ~= session) or (token ~= '' and tonumber(tk) ~= tonumber(token)) then
  return {'no', 0}
end
redis.call('ZREM', P .. 'leases', id)
if ab then
  settle(id, 'up', now, 'end', aborted)
  return {'aborted', at}
end
if counts == '1' and tonumber(at) > tonumber(mr) then
  settle(id, 'up', now, 'end', failed)
  return {'failed', at}
end
if counts == '0' then at = tonumber(at) - 1 end
redis.call('HSET', key, 'st', 'p', 'at', at, 'up', now, 'w', '', 'ws', '', 'wh', '', 'sa', 0, 'dn', 0, 'to', 0, 'sp', '')
redis.call('ZADD', P .. 'idx:pending', cr, id)
return {'requeued', at}
