-- Live runs in Redis. Every script starts with this file.
--   trawl:run:<id>        hash: one live run (fields below)
--   trawl:idx:<state>     zset: pending | parked | running, score = created ms
--   trawl:idx:task:<id>   zset: the task's live runs, score = created ms
--   trawl:accepting       zset: written here, but not yet acknowledged by JetStream, score = created ms
--   trawl:leases          zset: running runs, score = lease expiry ms
--   trawl:deadlines       zset: running runs, score = when even a hung worker must have ended them, ms
--   trawl:session:<s>     set: runs that one worker process holds
--   trawl:ext:<c>:<id>    string: "<run id> <digest>" of the newest run with that external id
--   trawl:task_versions   hash: task id -> version, to tell a stale cached task
-- Hash fields: st state (p pending, k parked, r running, d done but not archived yet), at attempts begun, tk token,
--   tid, cr created, q queue, mr max retries, tm timeout ms, spec, ext, w worker, ws session, wh hostname,
--   sa started, up updated, dn/to/sp/it progress, ab abort requested, nb not before, why, end outcome of a done run.
local P = 'trawl:'
local SEQ = 4096  -- token = stream sequence * 4096 + delivery count

local function run_key(id) return P .. 'run:' .. id end

local function unindex_running(id, session)
  redis.call('ZREM', P .. 'idx:running', id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', P .. 'deadlines', id)
  if session then redis.call('SREM', P .. 'session:' .. session, id) end
end

-- A new live run, pending or parked. The caller has seen that it isn't there.
local function create(id, tid, created, queue, max_retries, timeout, attempt, spec, ext, digest, state, not_before, why)
  redis.call('HSET', run_key(id), 'st', state, 'at', attempt, 'tk', 0, 'tid', tid, 'cr', created, 'q', queue,
    'mr', max_retries, 'tm', timeout, 'spec', spec, 'ext', ext, 'up', created, 'nb', not_before, 'why', why)
  redis.call('ZADD', P .. (state == 'k' and 'idx:parked' or 'idx:pending'), created, id)
  redis.call('ZADD', P .. 'idx:task:' .. tid, created, id)
  if ext ~= '' then redis.call('SET', P .. 'ext:' .. ext, id .. ' ' .. digest) end
end

local function hold(id, key, token, attempt, worker, session, hostname, now, lease_until, grace)
  local cr, tm = unpack(redis.call('HMGET', key, 'cr', 'tm'))
  redis.call('HSET', key, 'st', 'r', 'tk', token, 'at', attempt, 'w', worker, 'ws', session, 'wh', hostname,
    'sa', now, 'up', now, 'nb', 0, 'why', '')
  redis.call('ZREM', P .. 'idx:pending', id)
  redis.call('ZREM', P .. 'accepting', id)
  redis.call('ZADD', P .. 'idx:running', cr, id)
  redis.call('ZADD', P .. 'leases', lease_until, id)
  redis.call('ZADD', P .. 'deadlines', now + tm + grace, id)
  redis.call('SADD', P .. 'session:' .. session, id)
end
