"""Use case: runs that outside workers hold stay safe. Owns the bridge between the lease documents and Redis.

The document is written before the work message is acknowledged, and goes away when the run is queued again or its end
is on JetStream. So at every moment a leased run is a message, a document, or an end that is stored; see
`docs/decisions/0008-outside-workers.md` for each crash in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.poison import Isolation
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

from scheduler.events import Announcer, ready_message
from scheduler.mongo_leases import Leased, LeasedRun
from scheduler.mongo_runs import Archive
from scheduler.parked import rebuilt
from scheduler.redis_leases import LiveLeases
from scheduler.redis_runs import LiveRun, LiveRuns

log = get_logger("leased")
SWEEP_SECONDS = 15.0
PAGE = 500


class LeasedRuns:
    """`archive_runs` moves ended runs from Redis to the archive."""

    def __init__(
        self, *, live: LiveRuns, leases: LiveLeases, leased: Leased, archive: Archive, announcer: Announcer,
        archive_runs: Callable[[Sequence[pb.Run]], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._live, self._leases, self._leased = live, leases, leased
        self._archive, self._announcer, self._archive_runs = archive, announcer, archive_runs
        self._isolation: Isolation[tuple[LeasedRun, LiveRun | None]] = Isolation(
            "leased", self._leave, key=lambda pair: pair[0].run_id
        )

    async def released(self, run_id: int, token: int, session: str) -> None:
        """The run is queued again, or has ended: the document of the lease, if it was such a one, has served."""
        if not session.startswith(subjects.OUTSIDE_SESSION):
            return
        try:
            await self._leased.drop(run_id, token)
        except Unavailable:
            log.warning("a lease's document stays for the sweeper", run_id=run_id)

    async def queue_again(self, spec: pb.RunSpec, attempt: int, token: int, session: str) -> None:
        """Publish a run that was taken from its worker. Each time under a new message id: JetStream must not take it
        for a repeat, since a run that is queued twice is dropped by the claim, and one that is not is lost.
        """
        spec.attempt = attempt
        await self._announcer.ready([ready_message(spec, reason=f"-{token}-{now_ms()}")])
        await self.released(spec.run_id, token, session)

    async def restore(self, leases: Sequence[LeasedRun]) -> set[int]:
        """Make Redis know these leases again, where it has lost them; answers the ids of those that it did."""
        if not leases:
            return set()
        archived = await self._archive.archived([lease.run_id for lease in leases])
        wanted = [lease for lease in leases if lease.run_id not in archived]
        specs = [pb.RunSpec.FromString(lease.spec) for lease in wanted]
        if wanted:
            await self._live.accept([rebuilt(spec, lease.spec, "p") for spec, lease in zip(specs, wanted, strict=True)])
        now = now_ms()
        done = {lease.run_id for lease in wanted if await self._leases.restore(lease, now)}
        for lease in leases:
            if lease.run_id in archived:
                await self.released(lease.run_id, lease.token, lease.session)
        return done

    async def restore_of_worker(self, worker_id: str, run_ids: Sequence[int]) -> None:
        """The same, for runs that a worker says it holds."""
        leases = await self._leased.of_runs(run_ids)
        await self.restore([lease for lease in leases if worker_id in ("", lease.worker_id)])

    async def restore_all(self) -> int:
        """The same for every lease, after Redis has lost everything; answers how many."""
        count, after = 0, ""
        while True:
            leases, after = await self._leased.page(after, PAGE)
            if not leases:
                return count
            count += len(await self.restore(leases))

    async def run(self) -> None:
        """For ever: look after the leases that nobody else does."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("leases wait", reason=error.message)

    async def sweep(self) -> None:
        """Finish what a scheduler that died has begun. Doing it twice is harmless."""
        after = ""
        while True:
            leases, after = await self._leased.page(after, PAGE)
            if not leases:
                return
            runs = await self._live.get_many([lease.run_id for lease in leases])
            pairs = list(zip(leases, runs, strict=True))
            await self._isolation.each(pairs, lambda pair: self._settle(*pair))

    async def _leave(self, pair: tuple[LeasedRun, LiveRun | None], reason: str) -> None:
        log.error("a lease can't be looked after", run_id=pair[0].run_id, reason=reason)

    async def _settle(self, lease: LeasedRun, run: LiveRun | None) -> None:
        if run is None or (run.state == "p" and run.token < lease.token):
            if await self.restore([lease]):
                log.warning("lease restored", run_id=lease.run_id, worker=lease.worker_id)
        elif run.state == "p" and run.token == lease.token:
            # Taken from its worker, and perhaps not queued again: whoever did the first died before the second.
            await self.queue_again(pb.RunSpec.FromString(run.spec), run.attempt, lease.token, lease.session)
        elif run.state == "d" and run.token == lease.token:
            if run.ending:
                await self._archive_runs([pb.Run.FromString(run.ending)])
        elif run.token != lease.token or run.state == "k":
            await self.released(lease.run_id, lease.token, lease.session)
