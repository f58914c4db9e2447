-- Count part of an index by queue. ARGV: index offset count
-- Answers {ids looked at, then 3 for each queue: name count oldest (created ms)}
local ids = redis.call('ZRANGE', P .. ARGV[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local count, oldest = {}, {}
for _, id in ipairs(ids) do
  local q, cr = unpack(redis.call('HMGET', run_key(id), 'q', 'cr'))
  if q then
    cr = tonumber(cr)
    count[q] = (count[q] or 0) + 1
    if not oldest[q] or cr < oldest[q] then oldest[q] = cr end
  end
end
local out = {#ids}
for q, n in pairs(count) do
  out[#out+1] = q
  out[#out+1] = n
  out[#out+1] = oldest[q]
end
return out
