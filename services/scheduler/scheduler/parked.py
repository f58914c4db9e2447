"""Runs between two attempts: publishes each when its time has come. Owns the timer; the truth is in MongoDB.

The scheduler that parks a run holds it on a heap; a slow rescan finds the runs of schedulers that are gone. Releasing
twice is harmless: JetStream drops the repeated message id, and the claim would refuse the second copy.
"""

import asyncio
import heapq
from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer, ready_message
from scheduler.mongo_runs import Archive, Parked
from scheduler.records import external_key
from scheduler.redis_runs import LiveRuns, NewRun

log = get_logger("parked")
RESCAN_SECONDS = 15.0
AGAIN_MS = 1_000


class ParkedRuns:
    """A heap by release time, bounded by what is in MongoDB."""

    def __init__(self, live: LiveRuns, archive: Archive, announcer: Announcer) -> None:
        self._live, self._archive, self._announcer = live, archive, announcer
        self._heap: list[tuple[int, str, Parked]] = []
        self._known: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, runs: Sequence[Parked]) -> None:
        """Release these when they are due."""
        for run in runs:
            if run.key not in self._known:
                self._known.add(run.key)
                heapq.heappush(self._heap, (run.release_ms, run.key, run))
        if runs:
            self._changed.set()

    async def run(self) -> None:
        """For ever: sleep until the next one is due, or until something changes."""
        loop = asyncio.get_running_loop()
        rescan_at = loop.time()
        while True:
            try:
                if loop.time() >= rescan_at:
                    self.add(await self._archive.parked(now_ms() + int(RESCAN_SECONDS * 1000)))
                    rescan_at = loop.time() + RESCAN_SECONDS
                await self._release_due()
            except Unavailable as error:
                log.warning("parked runs wait", reason=error.message)
                await asyncio.sleep(1)
            self._changed.clear()
            wait = rescan_at - loop.time()
            if self._heap:
                wait = min(wait, (self._heap[0][0] - now_ms()) / 1000)
            try:
                async with asyncio.timeout(max(0.001, wait)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _release_due(self) -> None:
        now = now_ms()
        while self._heap and self._heap[0][0] <= now:
            parked = self._heap[0][2]
            released = await self._release(parked, now)  # on failure it stays on the heap
            heapq.heappop(self._heap)
            if released:
                self._known.discard(parked.key)
            else:
                heapq.heappush(self._heap, (now + AGAIN_MS, parked.key, parked))

    async def _release(self, parked: Parked, now: int) -> bool:
        """Publish one. False: the end of its attempt is still being applied elsewhere; try again soon."""
        verdict = await self._live.release(parked.run_id, parked.token, now)
        if verdict == "later":
            return False
        spec = pb.RunSpec.FromString(parked.spec)
        if verdict == "unknown":
            if await self._archive.archived([parked.run_id]):
                verdict = "gone"
            else:
                await self._live.accept([rebuilt(spec, parked.spec, "p")])
        if verdict != "gone":
            await self._announcer.ready([ready_message(spec, parked.spec)])
        await self._archive.unpark([parked])
        return True


def rebuilt(spec: pb.RunSpec, raw: bytes, state: str, not_before_ms: int = 0) -> NewRun:
    """A run that Redis does not know, from its message."""
    return NewRun(
        run_id=spec.run_id,
        task_id=spec.task_id,
        created_ms=spec.created_ms,
        queue=spec.queue,
        max_retries=spec.retry.max_retries,
        timeout_ms=spec.timeout_ms,
        attempt=spec.attempt,
        spec=raw,
        external_key=external_key(spec),
        digest=spec.request_digest,
        state="k" if state == "k" else "p",
        not_before_ms=not_before_ms,
        scope=spec.scope,
    )
