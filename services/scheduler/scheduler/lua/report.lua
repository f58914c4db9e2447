-- Renew leases and store progress. ARGV: worker session hostname now lease_until grace,
-- then 7 for each: id token attempt done total step items
-- Answers for each run: ok | abort | lost | unknown.
local worker, session, hostname, now, lease_until, grace = unpack(ARGV, 1, 6)
local out = {}
for i = 7, #ARGV, 7 do
  local id, token = ARGV[i], tonumber(ARGV[i+1])
  local key = run_key(id)
  local st, tk, ab, sa, tm = unpack(redis.call('HMGET', key, 'st', 'tk', 'ab', 'sa', 'tm'))
  local verdict = 'lost'
  if not st then
    verdict = 'unknown'
  else
    if st == 'p' and token > tonumber(tk) then
      -- Redis had lost the claim and the run was rebuilt as pending: the holder's report restores it.
      hold(id, key, token, ARGV[i+2], worker, session, hostname, now, lease_until)
      st, tk, sa = 'r', token, now
    end
    if st == 'r' and tonumber(tk) == token then
      redis.call('HSET', key, 'dn', ARGV[i+3], 'to', ARGV[i+4], 'sp', ARGV[i+5], 'it', ARGV[i+6], 'up', now)
      -- A worker that does not enforce the timeout loses the run on time, however long its leases are.
      local deadline = tonumber(sa) + tonumber(tm) + tonumber(grace)
      if tonumber(now) <= deadline then
        redis.call('ZADD', P .. 'leases', 'XX', math.min(tonumber(lease_until), deadline), id)
      end
      verdict = ab and 'abort' or 'ok'
    end
  end
  out[#out+1] = verdict
end
return out
