"""Hears of every run's end from `trawl.events.runs`, without asking anybody. Knows their proto and subject only."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
from trawl.scheduler.v1 import events_pb2
from wire import subjects

CONNECT_SECONDS = 10


class RunEnds:
    """The ends since `forget`. An event may come twice; a run counts once."""

    def __init__(self) -> None:
        self.completed: set[int] = set()
        self.not_completed = 0
        # Seconds since the epoch: when the newest run was heard to have completed, for the first time.
        self.last = 0.0
        # How many had completed by each whole second since the epoch.
        self.by_second: dict[int, int] = {}
        self._heard = time.monotonic()

    @classmethod
    @contextlib.asynccontextmanager
    async def watching(cls, url: str) -> AsyncIterator["RunEnds"]:
        """A listener that has begun to listen."""
        ends = cls()
        client = await asyncio.wait_for(nats.connect(url, pending_size=64 * 2**20), CONNECT_SECONDS)
        try:
            await client.subscribe(subjects.RUN_EVENTS, cb=ends.hear, pending_msgs_limit=-1, pending_bytes_limit=-1)
            await client.flush()
            yield ends
        finally:
            await client.close()

    async def hear(self, message: Any) -> None:
        """Take in one message."""
        now = time.time()
        before = len(self.completed)
        for event in events_pb2.RunEvents.FromString(message.data).events:
            if event.kind == "completed":
                self.completed.add(event.run_id)
            elif event.kind in ("failed", "aborted"):
                self.not_completed += 1
        self._heard = time.monotonic()
        if fresh := len(self.completed) - before:
            self.last = now
            self.by_second[int(now)] = self.by_second.get(int(now), 0) + fresh

    def forget(self) -> None:
        """Begin anew."""
        self.completed.clear()
        self.by_second.clear()
        self.not_completed, self.last = 0, 0.0

    def completed_between(self, begin: int, end: int) -> int:
        """How many completed from the second `begin` on and before the second `end` (whole seconds of the epoch)."""
        return sum(count for second, count in self.by_second.items() if begin <= second < end)

    def when_completed(self, count: int) -> int:
        """The second (of the epoch) by whose end that many had completed; 0 when they never had."""
        total = 0
        for second in sorted(self.by_second):
            total += self.by_second[second]
            if total >= count:
                return second
        return 0

    async def until_quiet(self, seconds: float, limit_seconds: float) -> None:
        """Return when nothing was heard for `seconds` from now on, or after the limit."""
        started = time.monotonic()
        while True:
            now = time.monotonic()
            quiet_at = max(started, self._heard) + seconds
            if now >= quiet_at or now - started > limit_seconds:
                return
            await asyncio.sleep(quiet_at - now)
