-- Live runs in Redis. Every script starts with this file.
--   trawl:run:<id>        hash: one live run (fields below)
--   trawl:idx:<state>     zset: pending | parked, score = created ms
--   trawl:idx:task:<id>   zset: the task's live runs, score = created ms
--   trawl:idx:scope:<s>   zset: the live runs of a scope, and of its family (what stands before the colon)
--   trawl:accepting       zset: batches written here, but not yet acknowledged by JetStream, score = created ms,
--                         member = the ids with commas between
--   trawl:leases          zset: running runs, score = lease expiry ms
--   trawl:ext:<c>:<id>    string: "<run id> <digest>" of the newest run with that external id
--   trawl:queues          hash: queue -> "<version><p|a>", paused or active; "*" once it is whole
--   trawl:task_versions   hash: task id -> version, to tell a stale cached task
-- Hash fields: st state (p pending, k parked, r running, d done but not archived yet), at attempts begun, tk token,
--   tid, cr created, q queue, mr max retries, tm timeout ms, spec, w worker, ws session, wh hostname,
--   sa started, up updated, dn/to/sp/it progress, ab abort requested, nb not before, why, sc scope, end outcome of a done run.
local P = 'trawl:'
-- All arguments come packed in one, as strings: the client spends more on each argument than the script on its work.
local ARGV = cmsgpack.unpack(ARGV[1])
local SEQ = 4096  -- token = stream sequence * 4096 + delivery count

local function run_key(id) return P .. 'run:' .. id end

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
    'sa', now, 'up', now, 'nb', 0, 'why', '')
  redis.call('ZREM', P .. 'idx:pending', id)
  redis.call('ZADD', P .. 'leases', lease_until, id)
end
