"""The Lua that Redis runs for the registry. Owns: every transition of liveness, each one atomic, and the outbox.
Must not know Python's side of it: `redis_heartbeats` is the only caller.

KEYS, the same for every script:
    1 known      hash   id -> JSON {v: version, i: interval ms, w: wanted, s: session, h: hostname}
    2 beats      hash   id -> "<heard ms> <what the heartbeat said>"
    3 deadlines  zset   id -> when its silence becomes loss; a worker that is not in it is offline
    4 intervals  zset   id -> heartbeat interval in ms
    5 outbox     list   facts that NATS has not acknowledged yet, the oldest first
    6 stamp      string when a registry last watched; missing: Redis has lost what it knew
    7 publisher  string the replica that empties the outbox now
Times are Redis's own clock, so that the replicas' clocks don't matter.
"""

_COMMON = """
local KNOWN, BEATS, DEADLINES, INTERVALS, OUTBOX, STAMP, PUBLISHER = unpack(KEYS)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function whole(n) return string.format('%d', n) end
local function known(id)
  local raw = redis.call('HGET', KNOWN, id)
  return raw and cjson.decode(raw)
end
local function tell(kind, id, session, hostname, reason)
  redis.call('RPUSH', OUTBOX, cjson.encode({
    kind = kind, worker_id = id, session = session, hostname = hostname, time_ms = whole(now), reason = reason}))
end
local function tell_back(id, k, reason)
  tell(k.w == 'active' and 'active' or 'draining', id, k.s, k.h, reason)
end
"""

# ARGV: mode (register | update | restore), id, version, interval, wanted, session, hostname, sessions whose loss is
# still to be told. Nothing happens when a newer version is known, nor when `restore` finds the worker.
PUT = (
    _COMMON
    + """
local mode, id, version, interval, wanted, session, hostname = unpack(ARGV, 1, 7)
version, interval = tonumber(version), tonumber(interval)
local old = known(id)
if old and (old.v > version or mode == 'restore') then return 0 end
if old and old.s ~= session then
  if redis.call('ZSCORE', DEADLINES, id) then tell('lost', id, old.s, old.h, 'replaced by a new session') end
  redis.call('HDEL', BEATS, id)
end
for i = 8, #ARGV do
  if not (old and old.s == ARGV[i]) then tell('lost', id, ARGV[i], hostname, 'replaced by a new session') end
end
local new = {v = version, i = interval, w = wanted, s = session, h = hostname}
redis.call('HSET', KNOWN, id, cjson.encode(new))
redis.call('ZADD', INTERVALS, interval, id)
local same = old and old.s == session
local back = 0
if mode == 'register' or not same then
  back = redis.call('ZADD', DEADLINES, whole(now + 3 * interval), id)
end
if mode == 'register' then
  if not same then tell('registered', id, session, hostname, '')
  elseif back == 1 then tell_back(id, new, 'heard again') end
elseif mode == 'update' and not (old and old.w == wanted) then
  tell_back(id, new, wanted == 'offline' and 'offline was asked for' or 'asked for')
end
return 1
"""
)

# ARGV: id, session, what it said, id, session, … Answers for each: what is wanted of the worker, '' for an id that is
# not known here, '?' for a session that is not the current one. Last comes the length of the outbox.
BEAT = (
    _COMMON
    + """
local answers = {}
for i = 1, #ARGV, 3 do
  local id, session = ARGV[i], ARGV[i + 1]
  local k = known(id)
  local answer = ''
  if k and session ~= '' and k.s ~= session then
    answer = '?'
  elseif k then
    answer = k.w
    redis.call('HSET', BEATS, id, whole(now) .. ' ' .. ARGV[i + 2])
    if redis.call('ZADD', DEADLINES, whole(now + 3 * k.i), id) == 1 then tell_back(id, k, 'heard again') end
  end
  answers[#answers + 1] = answer
end
answers[#answers + 1] = redis.call('LLEN', OUTBOX)
return answers
"""
)

# ARGV: id, version, session, hostname, reason, sessions whose loss is still to be told. Nothing happens when a newer
# version is known.
REMOVE = (
    _COMMON
    + """
local id, version, session, hostname, reason = unpack(ARGV, 1, 5)
local k = known(id)
if k and k.v > tonumber(version) then return 0 end
for i = 6, #ARGV do tell('lost', id, ARGV[i], hostname, 'replaced by a new session') end
redis.call('HDEL', KNOWN, id)
redis.call('HDEL', BEATS, id)
redis.call('ZREM', DEADLINES, id)
redis.call('ZREM', INTERVALS, id)
tell('unregistered', id, session, hostname, reason)
return 1
"""
)

# Takes the silent workers, each exactly once. When nobody has watched for longer than the shortest interval (the
# registry, or Redis, was away) or the clock went back, everybody gets the full time again instead.
# ARGV: most to take. Answers {state, ms until the next deadline (-1: none), shortest interval (0: none), length of the
# outbox, taken}; state: -1 Redis is empty, 0 as always, 1 everybody got the full time again.
SWEEP = (
    _COMMON
    + """
local stamp = redis.call('GET', STAMP)
if not stamp then return {-1, 0, 0, 0, 0} end
stamp = tonumber(stamp)
redis.call('SET', STAMP, whole(now))
local shortest = tonumber(redis.call('ZRANGE', INTERVALS, 0, 0, 'WITHSCORES')[2] or 0)
local state = 0
if shortest > 0 and (now - stamp > shortest or now < stamp) then
  state = 1
  for _, id in ipairs(redis.call('ZRANGE', DEADLINES, 0, -1)) do
    local interval = tonumber(redis.call('ZSCORE', INTERVALS, id) or 0)
    redis.call('ZADD', DEADLINES, whole(now + 3 * interval), id)
  end
end
local taken = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', whole(now), 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', DEADLINES, id)
  local k = known(id)
  if k then
    tell('lost', id, k.s, k.h, 'no heartbeat for ' .. whole(3 * k.i) .. ' ms')
    taken = taken + 1
  end
end
local first = redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2]
return {state, first and math.max(0, tonumber(first) - now) or -1, shortest, redis.call('LLEN', OUTBOX), taken}
"""
)

# ARGV: replica, ms that it may take. Answers up to 256 facts, or for how many ms another replica may be at it.
TAKE_FACTS = (
    _COMMON
    + """
local holder = redis.call('GET', PUBLISHER)
if redis.call('LLEN', OUTBOX) == 0 then return {} end
if holder and holder ~= ARGV[1] then return redis.call('PTTL', PUBLISHER) end
redis.call('SET', PUBLISHER, ARGV[1], 'PX', ARGV[2])
return redis.call('LRANGE', OUTBOX, 0, 255)
"""
)

# ARGV: replica, number of facts that are published, the first of them as it was taken. Nothing is dropped when another
# replica has taken over, or when that one is gone already (a repeated call). The number 0 gives up for now.
DROP_FACTS = (
    _COMMON
    + """
if redis.call('GET', PUBLISHER) ~= ARGV[1] then return -1 end
if redis.call('LINDEX', OUTBOX, 0) == ARGV[3] then redis.call('LTRIM', OUTBOX, ARGV[2], -1) end
local left = redis.call('LLEN', OUTBOX)
if left == 0 or ARGV[2] == '0' then redis.call('DEL', PUBLISHER) end
return left
"""
)

# Says that Redis knows all workers again.
MARK_REBUILT = _COMMON + "return redis.call('SET', STAMP, whole(now))"
