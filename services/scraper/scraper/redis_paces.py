"""What all workers know of the hosts they call. Owns the keys `trawl_scraper:host:*` in Redis.

A host's pace outlives the runs by an hour, so that the next one begins with what the host has put up with before.
Redis' clock counts, not the workers'. Must not know runs or pages.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, cast

from chassis.stores import redis_errors
from redis.asyncio import Redis

from scraper.host_pace import HostReport, HostView

PREFIX = "trawl_scraper:host:"
KEPT_MS = 3_600_000
# A worker that says nothing for so long calls the host no more.
ACTIVE_MS = 5_000
MAX_DELAY_MS = 30_000

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
# KEYS: host. ARGV: worker, requests it wants at once, good answers, slow ones, refusals, pause ms, active ms, kept ms,
# longest delay ms. Answers {limit * 1000, delay ms, workers, pause ms}.
_EXCHANGE = (
    _NOW
    + """
local wanted, good, slow, refused = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local known = redis.call('HGETALL', KEYS[1])
local host, workers, ceiling = {}, 0, wanted
for i = 1, #known, 2 do
  local name, value = known[i], known[i + 1]
  if string.sub(name, 1, 2) == 'w:' then
    local till, count = string.match(value, '(%d+) (%d+)')
    if tonumber(till) <= now then
      redis.call('HDEL', KEYS[1], name)
    elseif name ~= 'w:' .. ARGV[1] then
      workers = workers + 1
      ceiling = math.max(ceiling, tonumber(count))
    end
  else
    host[name] = tonumber(value)
  end
end
if wanted > 0 then
  workers = workers + 1
  redis.call('HSET', KEYS[1], 'w:' .. ARGV[1], string.format('%d %d', now + tonumber(ARGV[7]), wanted))
else
  redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])
end
ceiling = math.max(ceiling, 1)
local limit, delay, pause = host.limit or ceiling, host.delay or 0, host.pause or 0
if refused > 0 then
  limit = math.max(1, limit / 2)
  delay = math.min(math.max(2 * delay, 250), tonumber(ARGV[9]))
else
  if limit < ceiling then limit = math.min(ceiling, limit + good / limit) end
  if good > 0 then delay = delay * 0.8 ^ good end
  if delay < 50 then delay = 0 end
end
limit = math.max(1, limit - slow)
pause = math.max(pause, tonumber(ARGV[6]) > 0 and now + tonumber(ARGV[6]) or 0)
redis.call('HSET', KEYS[1], 'limit', tostring(limit), 'delay', tostring(delay), 'pause', pause)
redis.call('PEXPIRE', KEYS[1], math.max(0, pause - now) + tonumber(ARGV[8]))
return {math.floor(math.min(limit, ceiling) * 1000), math.floor(delay), workers, math.max(0, pause - now)}
"""
)
# KEYS: host. ARGV: delay ms, kept ms. Answers the wait in ms.
_RESERVE = (
    _NOW
    + """
local saved = redis.call('HMGET', KEYS[1], 'next', 'pause')
local at = math.max(now, tonumber(saved[1] or 0), tonumber(saved[2] or 0))
redis.call('HSET', KEYS[1], 'next', at + tonumber(ARGV[1]))
redis.call('PEXPIRE', KEYS[1], at - now + tonumber(ARGV[2]))
return at - now
"""
)


class RedisPaces:
    """`SharedPaces` over Redis."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self._redis, self._worker = redis, worker

    async def exchange(self, reports: Sequence[HostReport]) -> list[HostView]:
        """Tell and learn, in one round trip."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for report in reports:
                    pipe.eval(
                        _EXCHANGE, 1, _key(report.host), self._worker, report.wanted, report.good, report.slow,
                        report.refused, int(report.pause_seconds * 1000), ACTIVE_MS, KEPT_MS, MAX_DELAY_MS,
                    )  # fmt: skip
                answers = await pipe.execute()
        return [HostView(limit / 1000, delay / 1000, workers, pause / 1000) for limit, delay, workers, pause in answers]

    async def reserve(self, host: str, delay: float) -> float:
        """The next start's distance in seconds."""
        with redis_errors():
            answer = await cast("Any", self._redis.eval(_RESERVE, 1, _key(host), str(int(delay * 1000)), str(KEPT_MS)))
        return float(answer) / 1000


def _key(host: str) -> str:
    # Hosts are strangers' text, and as long as they like.
    return PREFIX + (host if len(host) <= 80 else hashlib.sha256(host.encode()).hexdigest())
