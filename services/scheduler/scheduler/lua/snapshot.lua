-- Which runs are live, all seen at one moment. ARGV: index (task:<id> | scope:<s> | "" = everything), newest first (1/0),
--   from which score, how many of each waiting list
-- Answers {last tick or "", tick of the oldest end that is not archived yet or "", how many wait, ids that run or have
--   ended, whether Redis has all of them (1/0), then ids and scores of one or two lists}. With an index, what runs or has ended is in its list too.
local index, newest, from, count = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4]
local function inside(id) return index == '' or redis.call('ZSCORE', P .. 'idx:' .. index, id) end
local busy = {}
for _, key in ipairs({P .. 'leases', P .. 'idx:ended'}) do
  for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if inside(id) then busy[#busy+1] = id end
  end
end
local keys = index == '' and {P .. 'idx:pending', P .. 'idx:parked'} or {P .. 'idx:' .. index}
local total = index == '' and 0 or -#busy
local oldest = redis.call('ZRANGE', P .. 'idx:ended', 0, 0, 'WITHSCORES')[2]
local out = {redis.call('GET', P .. 'tick') or '', oldest or '', 0, busy, redis.call('EXISTS', P .. 'epoch')}
for _, key in ipairs(keys) do
  total = total + redis.call('ZCARD', key)
  if newest then
    out[#out+1] = redis.call('ZREVRANGEBYSCORE', key, from, '-inf', 'WITHSCORES', 'LIMIT', 0, count)
  else
    out[#out+1] = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  end
end
out[3] = total
return out
