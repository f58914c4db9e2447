-- Compare-and-set from pending to running. ARGV: worker session hostname now lease_until, then 2 for each: id token
-- Answers for each run: {verdict, attempt, retry_after_ms}; verdicts: granted | drop | later | paused | unknown.
-- Answers nothing at all when it can't be told which queues are paused (see `redis_queues`).
local worker, session, hostname, now, lease_until = unpack(ARGV, 1, 5)
now = tonumber(now)
local states, paused, told = redis.call('HGETALL', P .. 'queues'), {}, false
for i = 1, #states, 2 do
  if states[i] == '*' then
    told = true
  elseif string.sub(states[i+1], -1) == 'p' then
    paused[states[i]] = true
  end
end
if not told then return {} end
local out = {}
for i = 6, #ARGV, 2 do
  local id, token = ARGV[i], tonumber(ARGV[i+1])
  local key = run_key(id)
  local st, tk, at, ws, q = unpack(redis.call('HMGET', key, 'st', 'tk', 'at', 'ws', 'q'))
  local verdict, attempt, after = 'drop', 0, 0
  if not st then
    verdict = 'unknown'
  elseif st == 'p' then
    -- An older delivery than the last one that was claimed has no right any more.
    if paused[q] then
      verdict, after = 'paused', 5000
    elseif token > tonumber(tk) then
      attempt = tonumber(at) + 1
      hold(id, key, token, attempt, worker, session, hostname, now, lease_until)
      verdict = 'granted'
    end
  elseif st == 'r' then
    if tonumber(tk) == token and ws == session then
      verdict, attempt = 'granted', tonumber(at)
    elseif math.floor(tonumber(tk) / SEQ) == math.floor(token / SEQ) then
      -- The very message that the holder works on: it is the run's durable copy, so it must not be dropped.
      local lease = tonumber(redis.call('ZSCORE', P .. 'leases', id) or '0')
      verdict, after = 'later', math.max(1000, lease - now)
    end
  end
  out[#out+1] = {verdict, attempt, after}
end
return out
