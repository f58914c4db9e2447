"""Use case: Redis has lost everything. Owns bringing live runs back from the RUNS stream, and from the documents of
parked and leased runs.

What runs on a worker that holds a message comes back as pending first; the worker's next report restores it (see
`report.lua`).
"""

import asyncio
import contextlib
from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.leased_runs import LeasedRuns
from scheduler.mongo_runs import Archive
from scheduler.mongo_waiting import WaitingRuns
from scheduler.parked import rebuilt
from scheduler.redis_runs import LiveRuns, NewRun
from scheduler.runs_stream import RunsStream

log = get_logger("rebuild")
CHECK_SECONDS = 5.0
LOCK_SECONDS = 300
WORK = "rebuild"
BATCH = 200


class Rebuilder:
    """Watches for an empty Redis."""

    def __init__(
        self, live: LiveRuns, archive: Archive, stream: RunsStream, *, waiting: WaitingRuns, leased: LeasedRuns
    ) -> None:
        self._waiting, self._leased = waiting, leased
        self._live, self._archive, self._stream = live, archive, stream

    async def run(self) -> None:
        """For ever: look for the epoch's mark, and rebuild when it is gone."""
        while True:
            try:
                await self.ensure()
            except Unavailable as error:
                log.debug("cannot look after Redis", reason=error.message)
            self._live.lost.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._live.lost.wait()

    async def ensure(self) -> None:
        """Rebuild unless Redis is whole, or another scheduler is at it."""
        if await self._live.has_epoch() or not await self._live.lock(WORK, LOCK_SECONDS):
            return
        count = await self._leased.restore_all() + await self._from_stream()
        count += await self._from_parked() + await self._from_waiting()
        await self._live.set_epoch(now_ms())
        await self._live.unlock(WORK)
        if count:
            log.warning("live runs rebuilt after Redis had lost them", count=count)

    async def _from_stream(self) -> int:
        counts: list[int] = []

        async def restore(specs: Sequence[tuple[pb.RunSpec, bytes]]) -> None:
            counts.append(await self._restore([rebuilt(spec, raw, "p") for spec, raw in specs]))

        await self._stream.read(restore)
        return sum(counts)

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
