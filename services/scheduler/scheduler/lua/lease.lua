-- Leases of workers that speak HTTP: check, renew, note. Unlike `report.lua` it never restores a lease by itself, since a
-- document must stand behind each. ARGV: worker ("" = any) now grace default_lease_ms, then 9 for each:
--   id token ("" = any) lease_ms ("" = as before) has_progress done total step items ("" = as before) lines
-- Answers for each run: {verdict, token, attempt, expires, task id, first line's number, abort requested, delivered};
--   verdicts: ok | abort | lost | unknown (not here, or waiting since Redis has lost the lease: look for the document)
local worker, now, grace, default_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {}
for i = 5, #ARGV, 9 do
  local id, token, lease_ms = ARGV[i], tonumber(ARGV[i+1]), tonumber(ARGV[i+2])
  local key = run_key(id)
  local st, tk, at, tid, w, sa, tm, cr, ab, abd, lm, lg =
    unpack(redis.call('HMGET', key, 'st', 'tk', 'at', 'tid', 'w', 'sa', 'tm', 'cr', 'ab', 'abd', 'lm', 'lg'))
  local answer = {'lost', 0, 0, 0, 0, 0, 0, 0}
  if not st or (st == 'p' and (not token or token > tonumber(tk))) then
    answer[1] = 'unknown'
  elseif st == 'r' and (not token or tonumber(tk) == token) and (worker == '' or w == worker) then
    if lease_ms then redis.call('HSET', key, 'lm', lease_ms) end
    -- A worker that does not enforce the timeout loses the run on time, however long its leases are.
    local deadline = tonumber(sa) + tonumber(tm) + grace
    local expires = math.min(now + (lease_ms or tonumber(lm or default_ms)), deadline)
    if now <= deadline then
      redis.call('ZADD', P .. 'leases', 'XX', expires, id)
    else
      expires = tonumber(redis.call('ZSCORE', P .. 'leases', id) or now)
    end
    redis.call('HSET', key, 'up', now)
    if ARGV[i+3] == '1' then redis.call('HSET', key, 'dn', ARGV[i+4], 'to', ARGV[i+5], 'sp', ARGV[i+6]) end
    if ARGV[i+7] ~= '' then redis.call('HSET', key, 'it', ARGV[i+7]) end
    -- Numbers of lines only have to grow; by the clock they do so even after Redis has lost the last one.
    local first = math.max(tonumber(lg or 0), now - tonumber(cr))
    if ARGV[i+8] ~= '0' then redis.call('HSET', key, 'lg', first + tonumber(ARGV[i+8])) end
    if ab and not abd then
      abd = now
      redis.call('HSET', key, 'abd', now)
    end
    answer = {ab and 'abort' or 'ok', tonumber(tk), tonumber(at), expires, tonumber(tid), first, tonumber(ab or 0),
      tonumber(abd or 0)}
  end
  out[#out+1] = answer
end
return out
