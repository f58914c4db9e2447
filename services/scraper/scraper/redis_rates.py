"""How often outside services may be asked, by all workers together. Owns the keys `trawl_scraper:rate:*` in Redis.

Each budget is one line of starts: a caller takes the next place and waits for its time. A service that asks for a
pause (429, Retry-After) holds back everybody, those who already wait included. Redis' clock counts, not the workers'.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.stores import redis_errors
from redis.asyncio import Redis

PREFIX = "trawl_scraper:rate:"
KEPT_MS = 3_600_000
RETRY_SECONDS = 0.5
# A pause of more than a day is somebody's mistake.
MAX_PAUSE_MS = 86_400_000

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
# KEYS: budget. ARGV: interval ms, longest wait ms. Answers {taken 0/1, wait ms}.
_TAKE = (
    _NOW
    + """
local budget = redis.call('HMGET', KEYS[1], 'next', 'pause')
local at = math.max(now, tonumber(budget[1] or 0), tonumber(budget[2] or 0))
local wait = at - now
if wait > tonumber(ARGV[2]) then return {0, wait} end
redis.call('HSET', KEYS[1], 'next', at + tonumber(ARGV[1]))
redis.call('PEXPIRE', KEYS[1], wait + tonumber(ARGV[1]) + tonumber(ARGV[3]))
return {1, wait}
"""
)
# KEYS: budget. ARGV: pause ms. A shorter pause than the one under way changes nothing.
_PAUSE = (
    _NOW
    + """
local until_ms = now + tonumber(ARGV[1])
if until_ms > tonumber(redis.call('HGET', KEYS[1], 'pause') or 0) then
  redis.call('HSET', KEYS[1], 'pause', until_ms)
end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]) + tonumber(ARGV[2]))
return 0
"""
)
# KEYS: budget. Answers how long its pause still lasts, ms.
_PAUSED = _NOW + "return math.max(0, tonumber(redis.call('HGET', KEYS[1], 'pause') or 0) - now)"


@dataclass(frozen=True, slots=True)
class Budget:
    """One service's budget: a start each `interval_seconds`."""

    name: str
    interval_seconds: float


class TooLong(Exception):
    """The next start is further away than the caller wants to wait; `resume_at_ms` says when to come back."""

    def __init__(self, budget: str, wait_ms: int) -> None:
        super().__init__(f"{budget} may be asked again in {wait_ms / 1000:.0f} s")
        self.resume_at_ms = now_ms() + wait_ms


class Rates:
    """Budgets that all workers share. While Redis is away nobody is asked: callers wait until it is back."""

    def __init__(self, redis: Redis, *, patience_seconds: float) -> None:
        """`patience_seconds`: a caller waits for its turn at most so long, and gets `TooLong` instead of more."""
        self._redis, self._patience_ms = redis, int(patience_seconds * 1000)

    async def turn(self, budget: Budget) -> None:
        """Return when one request may be made. Raises `TooLong`."""
        interval_ms = int(budget.interval_seconds * 1000)
        while True:
            taken, wait_ms = await self._ask(_TAKE, budget, interval_ms, self._patience_ms, KEPT_MS)
            if not taken:
                raise TooLong(budget.name, wait_ms)
            await asyncio.sleep(wait_ms / 1000)
            # Somebody may have been told to pause meanwhile.
            if not wait_ms or not await self._ask(_PAUSED, budget):
                return

    async def pause(self, budget: Budget, seconds: float) -> None:
        """Nobody asks the service for so long."""
        await self._ask(_PAUSE, budget, min(max(0, int(seconds * 1000)), MAX_PAUSE_MS), KEPT_MS)

    async def _ask(self, script: str, budget: Budget, *arguments: int) -> Any:
        while True:
            try:
                with redis_errors():
                    return await cast("Any", self._redis.eval(script, 1, PREFIX + budget.name, *map(str, arguments)))
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
