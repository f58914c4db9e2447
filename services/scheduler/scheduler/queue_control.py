"""Use case: queues as operators see and change them. Owns what a queue is said to hold. Must not know how runs are
claimed.

A queue exists once a task, a worker, a run or an operator's decision names it; Trawl's own always do.
"""

import asyncio
import time

from chassis.clock import now_ms
from chassis.errors import InvalidInput, NotFound
from trawl.scheduler.v1 import queues_pb2 as pb
from wire.subjects import BUILT_IN_EXECUTORS, is_queue_name

from scheduler.abort_runs import AbortRuns
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.pauses import Pauses
from scheduler.redis_queues import Depth, LiveQueues
from scheduler.worker_offers import WorkerOffers

# Lists may lag by a second; counting takes a moment when many runs wait.
FRESH_SECONDS = 0.5
RATE_MS = 60_000


class QueueControl:
    """Raises `Unavailable` when a store can't be reached."""

    def __init__(
        self, *, live: LiveQueues, pauses: Pauses, tasks: Tasks, archive: Archive, offers: WorkerOffers,
        aborter: AbortRuns,
    ) -> None:  # fmt: skip
        self._live, self._pauses, self._tasks, self._archive = live, pauses, tasks, archive
        self._offers, self._aborter = offers, aborter
        self._counting = asyncio.Lock()
        self._counted: list[pb.Queue] = []
        self._fresh_until = 0.0

    async def queues(self) -> list[pb.Queue]:
        """All of them, by name."""
        async with self._counting:
            if time.monotonic() >= self._fresh_until:
                self._counted = await self._count()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._counted

    async def queue(self, name: str) -> pb.Queue:
        """One of them. Raises `NotFound`."""
        for _ in range(2):
            for queue in await self.queues():
                if queue.name == name:
                    return queue
            self._fresh_until = 0.0  # it may be younger than what was counted last
        raise NotFound(f"no queue is named {name!r}", resource="queue", name=name)

    async def _count(self) -> list[pb.Queue]:
        waiting = await self._live.depths("idx:pending")
        delayed = await self._live.depths("idx:parked")
        running = await self._live.depths("leases")
        states = await self._pauses.states()
        ended = await self._archive.count_by_queue(now_ms() - RATE_MS)
        offers = await self._offers.queues()
        names = {*BUILT_IN_EXECUTORS, *waiting, *delayed, *running, *states, *(offers or ()), *ended}
        names |= set(await self._tasks.queues())
        nothing = Depth()
        return [
            pb.Queue(
                name=name,
                paused=name in states and states[name].paused,
                changed_ms=states[name].changed_ms if name in states else 0,
                waiting=waiting.get(name, nothing).count,
                delayed=delayed.get(name, nothing).count,
                in_flight=running.get(name, nothing).count,
                oldest_ms=waiting.get(name, nothing).oldest_ms,
                ended_last_minute=ended.get(name, 0),
                workers=-1 if offers is None else offers.get(name, 0),
            )
            for name in sorted(names)
            if is_queue_name(name)
        ]

    async def set_paused(self, name: str, *, paused: bool) -> pb.Queue:
        """Pause or resume it. Raises `NotFound`."""
        await self._known(name)
        await self._pauses.decide(name, paused=paused)
        self._fresh_until = 0.0
        return await self.queue(name)

    async def purge(self, name: str, *, delayed: bool) -> list[int]:
        """End what waits as aborted; answers which. Raises `NotFound`."""
        await self._known(name)
        wanted: list[int] = []
        for index in ("idx:parked", "idx:pending") if delayed else ("idx:pending",):
            async for ids in self._live.members(index, name):
                wanted += ids
        self._fresh_until = 0.0
        return await self._aborter.end_waiting(wanted, f"queue {name} was purged")

    async def _known(self, name: str) -> None:
        if not is_queue_name(name):
            raise InvalidInput("a queue's name has 1 to 64 letters, digits, _ or -", field="name", rule="pattern")
        if name not in BUILT_IN_EXECUTORS:
            await self.queue(name)
