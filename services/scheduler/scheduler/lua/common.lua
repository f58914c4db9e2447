-- Live runs in Redis. Every script starts with this file.
--   trawl:run:<id>        hash: one live run (fields below)
--   trawl:idx:<state>     zset: pending | parked, score = created ms
--   trawl:idx:task:<id>   zset: the task's live runs, score = created ms
--   trawl:idx:scope:<s>   zset: the live runs of a scope, and of its family (what stands before the colon)
--   trawl:accepting       zset: batches written here, but not yet acknowledged by JetStream, score = created ms,
--                         member = the ids with commas between
--   trawl:leases          zset: running runs, score = lease expiry ms
--   trawl:idx:ended       zset: runs that have ended and are not archived yet, score = the tick of their end
--   trawl:tick            string: the last tick; ticks order all claims and ends
--   trawl:ext:<c>:<id>    string: "<run id> <digest>" of the newest run with that external id
--   trawl:queues          hash: queue -> "<version><p|a>", paused or active; "*" once it is whole
--   trawl:task_versions   hash: task id -> version, to tell a stale cached task
-- Hash fields: st state (p pending, k parked, r running, d done but not archived yet), at attempts begun, tk token,
--   tid, cr created, q queue, mr max retries, tm timeout ms, spec, w worker, ws session, wh hostname,
--   sa started, cs tick of the claim, up updated, dn/to/sp/it progress, ab abort requested, aw by whom and why, nb not before, why, sc scope, end outcome of a done run.
local P = 'trawl:'
-- All arguments come packed in one, as strings: the client spends more on each argument than the script on its work.
local ARGV = cmsgpack.unpack(ARGV[1])
local SEQ = 4096  -- token = stream sequence * 4096 + delivery count

local function run_key(id) return P .. 'run:' .. id end

-- This script's tick: microseconds, but always more than the last one. A double holds it exactly.
local ticked
local function tick()
  if not ticked then
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
    ticked = string.format('%.0f', math.max(now, tonumber(redis.call('GET', P .. 'tick') or '0') + 1))
    redis.call('SET', P .. 'tick', ticked)
  end
  return ticked
end

-- The run has ended: it stays here until it is archived. The further arguments are fields of its hash.
local function settle(id, ...)
  redis.call('HSET', run_key(id), 'st', 'd', ...)
  redis.call('ZADD', P .. 'idx:ended', tick(), id)
end

local function scope_keys(scope)
  return {P .. 'idx:scope:' .. scope, P .. 'idx:scope:' .. string.match(scope, '^[^:]*')}
end

-- A new live run, pending or parked. The caller has seen that it isn't there.
local function create(id, tid, created, queue, max_retries, timeout, attempt, spec, ext, digest, state, not_before, why,
    scope)
  redis.call('HSET', run_key(id), 'st', state, 'at', attempt, 'tk', 0, 'tid', tid, 'cr', created, 'q', queue,
    'mr', max_retries, 'tm', timeout, 'spec', spec, 'up', created, 'nb', not_before, 'why', why)
  redis.call('ZADD', P .. (state == 'k' and 'idx:parked' or 'idx:pending'), created, id)
  redis.call('ZADD', P .. 'idx:task:' .. tid, created, id)
  if ext ~= '' then redis.call('SET', P .. 'ext:' .. ext, id .. ' ' .. digest) end
  if scope ~= '' then
    redis.call('HSET', run_key(id), 'sc', scope)
    for _, key in ipairs(scope_keys(scope)) do redis.call('ZADD', key, created, id) end
  end
end

local function hold(id, key, token, attempt, worker, session, hostname, now, lease_until)
  redis.call('HSET', key, 'st', 'r', 'tk', token, 'at', attempt, 'w', worker, 'ws', session, 'wh', hostname,
    'sa', now, 'cs', tick(), 'up', now, 'nb', 0, 'why', '')
  redis.call('ZREM', P .. 'idx:pending', id)
  redis.call('ZADD', P .. 'leases', lease_until, id)
end
