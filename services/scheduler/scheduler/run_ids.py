"""Numbers for runs. Owns the blocks that were taken from the counter in MongoDB and are not used up."""

import asyncio
from collections import deque

from chassis.errors import Unavailable

from scheduler.mongo_tasks import Tasks

MAX_ID_BLOCK = 1_024


class RunIds:
    """Run ids in blocks from the counter in MongoDB, so that accepting a run waits for no database call: the next block
    is fetched while there is still half of the last one.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._ready: deque[range] = deque()
        self._left, self._block = 0, 64
        self._fetching: asyncio.Task[None] | None = None

    async def take(self, count: int) -> list[int]:
        """`count` new ids. Raises `Unavailable` when there are none left and MongoDB is away."""
        while self._left < count:
            await self._fetch(count)
        ids: list[int] = []
        while len(ids) < count:
            block = self._ready.popleft()
            taken = block[: count - len(ids)]
            ids += taken
            if len(taken) < len(block):
                self._ready.appendleft(block[len(taken) :])
        self._left -= count
        if self._left < self._block // 2 and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.create_task(self._fetch_ahead())
        return ids

    async def _fetch(self, count: int) -> None:
        if self._fetching is not None and not self._fetching.done():
            await asyncio.shield(self._fetching)
            return
        size = max(self._block, count - self._left)
        first = await self._tasks.allocate("run_id", size)
        self._ready.append(range(first, first + size))
        self._left += size

    async def _fetch_ahead(self) -> None:
        # A block that was used up so soon was too small.
        self._block = min(MAX_ID_BLOCK, self._block * 2)
        try:
            first = await self._tasks.allocate("run_id", self._block)
        except Unavailable:
            return  # whoever needs an id asks again
        self._ready.append(range(first, first + self._block))
        self._left += self._block
