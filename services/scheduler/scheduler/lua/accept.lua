-- Write new runs as pending. ARGV: "" or the batch's mark for `accepting`; how many marks of earlier batches go away,
--   and these; at most how many runs may wait (0 = any number); then 14 for each run:
--   id tid created queue max_retries timeout attempt spec ext digest state not_before task_version scope
-- Answers for each run: "ok", "full" (too many wait), "stale" (the task has another version: load it and come back), "exists",
--   or for a live run with the same external id "same <run id>" | "clash <run id>".
local accepting = ARGV[1] ~= ''
local first = 4 + tonumber(ARGV[2])
if first > 4 then redis.call('ZREM', P .. 'accepting', unpack(ARGV, 3, first - 2)) end
local most = tonumber(ARGV[first - 1])
local full = most > 0 and redis.call('ZCARD', P .. 'idx:pending') >= most
local versions = {}
local out = {}
for i = first, #ARGV, 14 do
  local id, tid, created, ext, digest, version = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+8], ARGV[i+9], ARGV[i+12]
  local verdict = 'ok'
  if version ~= '' and not versions[tid] then versions[tid] = redis.call('HGET', P .. 'task_versions', tid) or '' end
  if full then
    verdict = 'full'
  elseif version ~= '' and versions[tid] ~= version then
    verdict = 'stale'
  elseif redis.call('EXISTS', run_key(id)) == 1 then
    verdict = 'exists'
  elseif ext ~= '' and accepting then
    local held = redis.call('GET', P .. 'ext:' .. ext)
    if held then
      local other, other_digest = string.match(held, '^(%d+) (.*)$')
      local state = redis.call('HGET', run_key(other), 'st')
      if state and state ~= 'd' then
        verdict = (other_digest == digest and 'same ' or 'clash ') .. other
      end
    end
  end
  if verdict == 'ok' then
    create(id, tid, created, ARGV[i+3], ARGV[i+4], ARGV[i+5], ARGV[i+6], ARGV[i+7], ext, digest, ARGV[i+10],
      ARGV[i+11], '', ARGV[i+13])
  end
  out[#out+1] = verdict
end
if accepting then redis.call('ZADD', P .. 'accepting', ARGV[first + 2], ARGV[1]) end
return out
