"""Use case: JetStream has lost messages of runs that wait. Owns finding that out, and queueing those runs again.

A run that waits has a message, and so has one that a worker of our own does, until it has ended: where there are fewer
messages than such runs, some are lost, and only then the stream is read. A run that is queued twice is done once:
the claim drops the second message.

A stream that was made anew would count from 1, and its messages would look older than those that were claimed before:
it goes on above all that the last one can have given out (`docs/decisions/0194-one-clock.md`).
"""

import asyncio
import time
from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.logs import get_logger
from chassis.poison import TEMPORARY
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer, ready_message
from scheduler.mongo_leases import Leased
from scheduler.mongo_marks import Mark, StreamMarks
from scheduler.redis_runs import LiveRun, LiveRuns
from scheduler.runs_stream import RunsStream, StreamState

log = get_logger("messages")
LOOK_SECONDS = 5.0
# What is being accepted or claimed at this moment looks like a loss, but not twice in a row.
LOOKS = 2
# A run that has changed more lately may be on its way.
SETTLED_MS = 10_000
# A reading that found nothing is not repeated before this, or ten times as long as it took; doubled each time.
REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 600.0
LOCK_SECONDS = 120
# The mark is this far ahead, so that it is written once in a million runs.
AHEAD = 1_000_000
PAGE = 10_000
BATCH = 200


class LostMessages:
    """One loop in each scheduler."""

    def __init__(
        self, *, live: LiveRuns, leased: Leased, stream: RunsStream, marks: StreamMarks, announcer: Announcer
    ) -> None:
        self._live, self._leased, self._stream = live, leased, stream
        self._marks, self._announcer = marks, announcer
        self._mark = Mark()
        self._short_looks = 0
        # How many a reading did not find, how long it is not repeated, and until when.
        self._known, self._rest, self._rest_until = 0, REST_SECONDS, 0.0

    def trouble(self) -> str:
        """What keeps runs that wait from being handed out, in words; empty when nothing does."""
        if not self._stream.connected:
            return "NATS, which hands runs out, can't be reached"
        if self._short_looks:
            return "JetStream has fewer messages than runs wait: what it has lost is looked for and queued again"
        return ""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look()
            except TEMPORARY as error:
                log.debug("cannot look for lost messages", reason=error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Compare how much there is, and make good what is missing. Raises `Unavailable`."""
        state = await self._stream.state()
        if await self._count_on(state):
            self._short_looks, self._rest_until = LOOKS, 0.0
            state = await self._stream.state()
        short = await self._short(state)
        self._short_looks = self._short_looks + 1 if short > 0 else 0
        rested = time.monotonic() >= self._rest_until or short > 2 * self._known
        if self._short_looks >= LOOKS and rested and await self._live.lock("messages", LOCK_SECONDS):
            try:
                await self._queue_lost(short)
            finally:
                await self._live.unlock("messages")

    async def _count_on(self, state: StreamState) -> bool:
        """Keep sequences growing over the life of more than one stream; whether this is another stream."""
        mark = self._mark
        if mark.made != state.made or state.last + AHEAD > mark.sequence:
            mark = await self._marks.get()
        another = bool(mark.version) and mark.made != state.made
        if another and state.last < mark.sequence:
            log.warning("the RUNS stream is another one and counts on", made=state.made, after=mark.sequence)
            await self._stream.skip_to(mark.sequence + 1)
        if mark.made != state.made or state.last + AHEAD > mark.sequence:
            mark = await self._marks.replace(mark, state.made, max(state.last, mark.sequence) + 2 * AHEAD)
        self._mark = mark
        return another

    async def _short(self, state: StreamState) -> int:
        """How many messages there should be and are not; runs of outside workers have none, nor do those that nobody
        was promised.
        """
        waiting = await self._live.count("pending")
        if not waiting:
            return 0
        short = waiting + await self._live.count("running") - state.messages
        if short <= 0:
            return short
        return short - await self._leased.count() - len(await self._unpublished())

    async def _queue_lost(self, short: int) -> None:
        began = time.monotonic()
        count, unsettled = await self.queue_again()
        if count:
            log.warning("runs whose messages JetStream had lost are queued again", count=count)
        if count or unsettled:
            self._known, self._rest, self._rest_until = 0, REST_SECONDS, 0.0
            return
        self._known = short
        self._rest_until = time.monotonic() + max(self._rest, 10 * (time.monotonic() - began))
        self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)

    async def queue_again(self) -> tuple[int, int]:
        """Queue every settled run that waits without a message; answers how many, and how many are not settled."""
        before = now_ms() - SETTLED_MS
        missing = await self._waiting_ids()
        missing -= await self._unpublished()

        async def found(specs: Sequence[tuple[pb.RunSpec, bytes]]) -> None:
            missing.difference_update(spec.run_id for spec, _ in specs)

        await self._stream.read(found)
        ids, count, unsettled = sorted(missing), 0, 0
        for first in range(0, len(ids), BATCH):
            runs = await self._live.get_many(ids[first : first + BATCH])
            missing_runs = [run for run in runs if run is not None and run.state == "p"]
            lost = [run for run in missing_runs if run.updated_ms < before]
            await self._announcer.ready([_again(run) for run in lost])
            count, unsettled = count + len(lost), unsettled + len(missing_runs) - len(lost)
        return count, unsettled

    async def _unpublished(self) -> set[int]:
        return {run_id for _, run_ids in await self._live.unpublished(now_ms()) for run_id in run_ids}

    async def _waiting_ids(self) -> set[int]:
        found: set[int] = set()
        while page := await self._live.ids("pending", newest_first=False, offset=len(found), limit=PAGE):
            before = len(found)
            found.update(page)
            if len(found) == before:
                break
        return found


def _again(run: LiveRun) -> tuple[str, bytes, str]:
    """Under a new message id: JetStream must not take it for a repeat of the one that it has lost."""
    spec = pb.RunSpec.FromString(run.spec)
    spec.attempt = run.attempt
    return ready_message(spec, reason=f"-{run.token}-{now_ms()}")
