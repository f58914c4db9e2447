-- Apply the end of attempts, once. ARGV: now, then 5 for each: id token target not_before why
--   target: done (terminal) or park (another attempt follows, not before `not_before`).
--   why: empty after a failure; else what the run waits for, and the attempt uses up no retry
-- Answers for each run: {verdict, abort requested ms, ticks of end and claim, claimed ms, who asked for the abort and why}; verdicts:
--   applied | again (same end, not archived yet) | stale (refused) | unknown
local now = ARGV[1]
local out = {}
for i = 2, #ARGV, 5 do
  local id, token, target = ARGV[i], tonumber(ARGV[i+1]), ARGV[i+2]
  local key = run_key(id)
  local st, tk, ab, cr, cs, sa, aw = unpack(redis.call('HMGET', key, 'st', 'tk', 'ab', 'cr', 'cs', 'sa', 'aw'))
  local verdict = 'stale'
  if not st then
    verdict = 'unknown'
  elseif (st == 'r' and tonumber(tk) == token) or (st == 'p' and token > tonumber(tk)) then
    redis.call('ZREM', st == 'r' and P .. 'leases' or P .. 'idx:pending', id)
    if target == 'done' then
      settle(id, 'tk', token)
    else
      local why = ARGV[i+4]
      if why == '' then why = 'retry' else redis.call('HINCRBY', key, 'mr', 1) end
      redis.call('HSET', key, 'st', 'k', 'tk', token, 'up', now, 'nb', ARGV[i+3], 'why', why)
      redis.call('ZADD', P .. 'idx:parked', cr, id)
    end
    verdict = 'applied'
  elseif (st == 'd' and target == 'done' or st == 'k' and target == 'park') and tonumber(tk) == token then
    verdict = 'again'
  end
  out[#out+1] = {verdict, ab or '0', redis.call('ZSCORE', P .. 'idx:ended', id) or '0', cs or '0', sa or '0', aw or ''}
end
return out
