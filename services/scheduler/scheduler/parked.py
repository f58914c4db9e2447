"""Runs between two attempts: publishes each when its time has come. Owns the timer; the truth is in MongoDB.

The scheduler that parks a run holds it on a heap; a slow rescan finds the runs of schedulers that are gone. Releasing
twice is harmless: JetStream drops the repeated message id, and the claim would refuse the second copy.

What a run waits for may come before its time. Every scheduler hears that, and releases what waits for it; a notice that
is lost costs nothing but the rest of the time.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence

from chassis.clock import now_ms
from chassis.events import Msg
from chassis.logs import get_logger
from chassis.poison import TEMPORARY, Isolation
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer, ready_message
from scheduler.mongo_runs import Archive, Parked
from scheduler.records import external_key, never_started
from scheduler.redis_runs import LiveRuns, NewRun
from scheduler.run import ErrorCode, Status

log = get_logger("parked")
RESCAN_SECONDS = 15.0
AGAIN_MS = 1_000
WAKE_PAGE = 1_000
# How many names are remembered, and how far the clocks of workers may differ: an attempt that ended before its run was
# woken has not seen what had come.
MAX_WAKES, SLACK_MS = 1_000, 500


class ParkedRuns:
    """A heap by release time, bounded by what is in MongoDB."""

    def __init__(self, live: LiveRuns, archive: Archive, announcer: Announcer) -> None:
        self._live, self._archive, self._announcer = live, archive, announcer
        self._heap: list[tuple[int, str, Parked]] = []
        self._known: set[str] = set()
        self._changed = asyncio.Event()
        self._woken_ms: dict[str, int] = {}
        self._to_wake: set[str] = set()
        self._later: set[str] = set()
        # Set by the composition root: ends runs that can't be released.
        self.fail: Callable[[Sequence[pb.Run]], Awaitable[None]]
        self._isolation: Isolation[Parked] = Isolation("parked", self._set_aside, key=lambda run: run.key)

    def add(self, runs: Sequence[Parked]) -> None:
        """Release these when they are due."""
        for run in runs:
            if run.key not in self._known:
                self._known.add(run.key)
                due = 0 if run.ended_ms and self._was_woken(run) else run.release_ms
                heapq.heappush(self._heap, (due, run.key, run))
        if runs:
            self._changed.set()

    async def on_wake(self, message: Msg) -> None:
        """Callback of a plain subscription: what parked runs wait for has come."""
        self.wake(message.data.decode("utf-8", "replace"))

    def wake(self, name: str) -> None:
        """Release every run that waits for what has that name, also one whose end is still on its way here."""
        if not name:
            return  # what waits for its time only has no name
        self._woken_ms.pop(name, None)
        self._woken_ms[name] = now_ms()
        while len(self._woken_ms) > MAX_WAKES:
            del self._woken_ms[next(iter(self._woken_ms))]
        self._to_wake.add(name)
        self._changed.set()

    async def _wake_all(self) -> None:
        for name in list(self._to_wake):
            # Those further away than a rescan looks are only in the store. A page that is not all of them is followed
            # by the next one once these are released, which takes them out of the store.
            found = await self._archive.parked_for(name, WAKE_PAGE)
            self._hasten(name, found)
            if len(found) < WAKE_PAGE:
                self._to_wake.discard(name)

    def _hasten(self, name: str, found: Sequence[Parked]) -> None:
        self._heap = [
            (0 if run.wake == name and self._was_woken(run) else due, key, run) for due, key, run in self._heap
        ]
        heapq.heapify(self._heap)
        for run in found:
            if run.key not in self._known:
                self._known.add(run.key)
                heapq.heappush(self._heap, (0, run.key, run))

    def _was_woken(self, run: Parked) -> bool:
        """Whether the attempt had ended when the notice came, and so did not know."""
        return run.ended_ms <= self._woken_ms.get(run.wake, -SLACK_MS - 1) + SLACK_MS

    async def run(self) -> None:
        """For ever: sleep until the next one is due, or until something changes."""
        loop = asyncio.get_running_loop()
        rescan_at = loop.time()
        while True:
            try:
                if loop.time() >= rescan_at:
                    self.add(await self._archive.parked(now_ms() + int(RESCAN_SECONDS * 1000)))
                    rescan_at = loop.time() + RESCAN_SECONDS
                await self._wake_all()
                await self._release_due()
            except TEMPORARY as error:
                log.warning("parked runs wait", reason=error.message)
                await asyncio.sleep(1)
            self._changed.clear()
            if self._to_wake:
                self._changed.set()
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
            due, key, parked = heapq.heappop(self._heap)
            again_ms: int | None = due  # as it was, should this fail
            try:
                left = await self._isolation.each([parked], self._release)
                again_ms = now + AGAIN_MS if left or parked.key in self._later else None
            finally:
                self._later.discard(parked.key)
                if again_ms is None:
                    self._known.discard(key)
                else:
                    heapq.heappush(self._heap, (again_ms, key, parked))

    async def _set_aside(self, parked: Parked, reason: str) -> None:
        """A run that can't be released fails."""
        await self._archive.unpark([parked])
        spec = pb.RunSpec.FromString(parked.spec)
        run = never_started(spec, Status.FAILED, now_ms(), message=reason, how="")
        run.error_code, run.attempt = ErrorCode.INTERNAL.value, spec.attempt
        await self.fail([run])

    async def _release(self, parked: Parked) -> None:
        """Publish one. `_later`: the end of its attempt is still being applied elsewhere; try again soon."""
        verdict = await self._live.release(parked.run_id, parked.token, now_ms())
        if verdict == "later":
            self._later.add(parked.key)
            return
        spec = pb.RunSpec.FromString(parked.spec)
        if verdict == "unknown":
            if await self._archive.archived([parked.run_id]):
                verdict = "gone"
            else:
                await self._live.accept([rebuilt(spec, parked.spec, "p")])
        if verdict != "gone":
            await self._announcer.ready([ready_message(spec, parked.spec)])
        await self._archive.unpark([parked])


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
