"""Queues in Redis: which are paused, and what waits in each. Owns `trawl:queues`; reads the indexes of `redis_runs`.

The hash holds `<version><p|a>` by queue, and `*` once it is whole: without that mark nothing is claimed, because Redis
may have lost a pause (see `claim.lua`).
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, cast

from chassis.stores import redis_errors
from redis.asyncio import Redis

from scheduler.redis_runs import PREFIX
from scheduler.redis_scripts import Script

QUEUES = PREFIX + "queues"
# So many runs are looked at by one script: a millisecond or two of Redis's time.
PART = 2_000


@dataclass(frozen=True, slots=True)
class QueueState:
    """An operator's decision about a queue; the one with the highest version holds."""

    name: str
    paused: bool
    version: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How many runs of a queue are in an index, and when the oldest of them was accepted (epoch ms)."""

    count: int = 0
    oldest_ms: int = 0

    def plus(self, count: int, oldest_ms: int) -> "Depth":
        """This and more."""
        return Depth(self.count + count, min(self.oldest_ms, oldest_ms) if self.oldest_ms else oldest_ms)


class LiveQueues:
    """Each method raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues, self._counts = Script(redis, "queues"), Script(redis, "counts")
        self._members = Script(redis, "members")

    async def tell(self, states: Iterable[QueueState], *, complete: bool = False) -> None:
        """Make claims obey these decisions; `complete`: there are no others."""
        arguments: list[Any] = ["1" if complete else "0"]
        for state in states:
            arguments += [state.name, state.version, "p" if state.paused else "a"]
        await self._queues.run(arguments)

    async def paused(self) -> frozenset[str] | None:
        """The paused queues; None when Redis may have lost some."""
        with redis_errors():
            raw = cast("dict[bytes, bytes]", await self._redis.hgetall(QUEUES))
        if b"*" not in raw:
            return None
        return frozenset(name.decode() for name, state in raw.items() if state.endswith(b"p"))

    async def depths(self, index: str) -> dict[str, Depth]:
        """What is in that index (idx:pending | idx:parked | leases), by queue."""
        found: dict[str, Depth] = {}
        offset = 0
        while True:
            looked, *rows = await self._counts.run([index, offset, PART])
            for name, count, oldest_ms in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                queue = name.decode()
                found[queue] = found.get(queue, Depth()).plus(int(count), int(oldest_ms))
            offset += int(looked)
            if int(looked) < PART:
                return found

    async def members(self, index: str, queue: str) -> AsyncIterator[list[int]]:
        """The runs of a queue that are in that index, part by part; take none away meanwhile."""
        offset = 0
        while True:
            looked, *ids = await self._members.run([index, offset, PART, queue])
            yield [int(run_id) for run_id in ids]
            offset += int(looked)
            if int(looked) < PART:
                return
