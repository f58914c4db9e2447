"""Keeps the process's clock at Redis' time. Owns: how often it is asked, and what is said of clocks that are wrong."""

import asyncio

from redis.asyncio import Redis

from chassis import counters
from chassis.clock import CLOCK, Clock, steady_ns
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.stores import redis_errors

log = get_logger("clock")
# A quartz drifts by far less than a millisecond in this time.
SYNC_SECONDS = 5.0
RETRY_SECONDS = 0.5
# An answer that took longer says less: it is asked again, so often at most.
NARROW_NS = 5_000_000
ASKED = 5
# So much is told; networks and drift account for less.
TOLD_MS = 1_000


class StoreClock:
    """One in each process that has Redis."""

    def __init__(self, redis: Redis, clock: Clock = CLOCK) -> None:
        self._redis, self._clock = redis, clock
        self._told = False

    async def sync(self) -> None:
        """Look at Redis' clock. Raises `Unavailable`."""
        moved_ns = 0
        for _ in range(ASKED):
            asked = steady_ns()
            with redis_errors():
                seconds, micros = await self._redis.time()
            answered = steady_ns()
            moved_ns += self._clock.learn((seconds * 1_000_000 + micros) * 1_000, asked, answered)
            if answered - asked <= NARROW_NS:
                break
        self._tell(moved_ns // 1_000_000)

    async def run(self) -> None:
        """For ever. While Redis is away the machine's steady clock carries the time on."""
        while True:
            wait = SYNC_SECONDS
            try:
                await self.sync()
            except Unavailable:
                wait = RETRY_SECONDS
            await asyncio.sleep(wait)

    def _tell(self, moved_ms: int) -> None:
        if abs(moved_ms) >= TOLD_MS:
            log.warning("Redis' clock was set", moved_ms=moved_ms)
        ahead = self._clock.machine_ahead_ms()
        counters.gauge(counters.CLOCK_AHEAD, ahead)
        wrong = abs(ahead) >= TOLD_MS
        if wrong and not self._told:
            log.warning("this machine's clock is not Redis', which is the one that counts", ahead_ms=ahead)
        self._told = wrong
