"""Use case: Redis has lost everything. Owns bringing live runs back from the RUNS stream, and from the documents of
parked and leased runs.

What runs on a worker that holds a message comes back as pending first; the worker's next report restores it (see
`report.lua`).
"""

import asyncio

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.events import NATS_DOWN, Events
from chassis.logs import get_logger
from google.protobuf.message import DecodeError
from nats.js.errors import APIError, NotFoundError
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

from scheduler.leased_runs import LeasedRuns
from scheduler.mongo_runs import Archive
from scheduler.mongo_waiting import WaitingRuns
from scheduler.parked import rebuilt
from scheduler.redis_runs import LiveRuns, NewRun

log = get_logger("rebuild")
CHECK_SECONDS = 5.0
LOCK_SECONDS = 300
BATCH = 200
READERS = 16


class Rebuilder:
    """Watches for an empty Redis."""

    def __init__(
        self, live: LiveRuns, archive: Archive, events: Events, *, waiting: WaitingRuns, leased: LeasedRuns
    ) -> None:
        self._waiting, self._leased = waiting, leased
        self._live, self._archive, self._events = live, archive, events

    async def run(self) -> None:
        """For ever: look for the epoch's mark, and rebuild when it is gone."""
        while True:
            try:
                await self.ensure()
            except Unavailable as error:
                log.debug("cannot look after Redis", reason=error.message)
            await asyncio.sleep(CHECK_SECONDS)

    async def ensure(self) -> None:
        """Rebuild unless Redis is whole, or another scheduler is at it."""
        if await self._live.has_epoch() or not await self._live.lock_rebuild(LOCK_SECONDS):
            return
        count = await self._leased.restore_all() + await self._from_stream()
        count += await self._from_parked() + await self._from_waiting()
        await self._live.set_epoch(now_ms())
        if count:
            log.warning("live runs rebuilt after Redis had lost them", count=count)

    async def _from_stream(self) -> int:
        try:
            state = (await self._events.js.stream_info(subjects.RUNS_STREAM)).state
        except (*NATS_DOWN, APIError) as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error
        if not state.messages:
            return 0
        width = max(1, (state.last_seq - state.first_seq) // READERS + 1)
        ranges = [
            (low, min(low + width, state.last_seq + 1)) for low in range(state.first_seq, state.last_seq + 1, width)
        ]
        counts = await asyncio.gather(*(self._read_range(low, high) for low, high in ranges))
        return sum(counts)

    async def _read_range(self, low: int, high: int) -> int:
        """Restore the runs whose messages have a sequence in [low, high)."""
        found, batch, sequence = 0, list[NewRun](), low
        while sequence < high:
            try:
                message = await self._events.js.get_msg(
                    subjects.RUNS_STREAM, seq=sequence, subject="trawl.runs.ready.>", next=True
                )
            except NotFoundError:
                break
            except (*NATS_DOWN, APIError) as error:
                raise Unavailable("NATS is unavailable", dependency="nats") from error
            sequence = (message.seq or high) + 1
            if sequence > high:
                break
            try:
                spec = pb.RunSpec.FromString(message.data or b"")
            except DecodeError:
                continue  # the worker that gets it makes it a dead letter
            batch.append(rebuilt(spec, message.data or b"", "p"))
            if len(batch) >= BATCH:
                found += await self._restore(batch)
                batch = []
        return found + await self._restore(batch)

    async def _from_parked(self) -> int:
        runs = await self._archive.parked(limit=100_000)
        batch = [rebuilt(pb.RunSpec.FromString(run.spec), run.spec, "k", run.release_ms) for run in runs]
        return await self._restore(batch)

    async def _from_waiting(self) -> int:
        found, last = 0, 0
        while page := await self._waiting.page(last, BATCH):
            last = page[-1].run_id
            found += await self._restore([rebuilt(pb.RunSpec.FromString(run.spec), run.spec, "k") for run in page])
        return found

    async def _restore(self, runs: list[NewRun]) -> int:
        if not runs:
            return 0
        archived = await self._archive.archived([run.run_id for run in runs])
        missing = [run for run in runs if run.run_id not in archived]
        verdicts = await self._live.accept(missing) if missing else []
        return verdicts.count("ok")
