"""Use case: runs whose worker is gone. Owns the sweeper and the reaction to the registry's `lost` events.

A lease may run out because the worker died, or because nobody could renew it while this service or Redis was down.
Only the first counts: for one lease's length after a start or an outage, nothing is taken back by time.
"""

import asyncio
import time
from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.events import Msg
from chassis.logs import get_logger
from chassis.poison import TEMPORARY, Isolation
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import runs_pb2 as pb
from trawl.workerregistry.v1 import events_pb2 as registry_pb

from scheduler.events import Announcer, run_event
from scheduler.finish_runs import FinishRuns
from scheduler.leased_runs import LeasedRuns
from scheduler.records import TO_PROTO, external_key, run_of_live
from scheduler.redis_runs import LiveRun, LiveRuns
from scheduler.run import ErrorCode, Status

log = get_logger("lost")
LOST_KINDS = frozenset({"lost", "unregistered"})
MAX_SLEEP_SECONDS = 5.0
MIN_SLEEP_SECONDS = 0.2
# A run that was written but never confirmed as published for this long was never promised to anybody.
ACCEPTING_MS = 60_000


class LostRuns:
    """Takes runs back, and decides between another attempt and the end."""

    def __init__(
        self, *, live: LiveRuns, announcer: Announcer, finish: FinishRuns, leased: LeasedRuns, lease_seconds: float
    ) -> None:
        self._live, self._announcer, self._finish, self._leased = live, announcer, finish, leased
        self._lease_seconds = lease_seconds
        self._isolation: Isolation[LiveRun] = Isolation("sweeper", self._set_aside, key=lambda run: run.run_id)
        self._trust_from = time.monotonic() + lease_seconds

    async def handle(self, messages: Sequence[Msg]) -> None:
        """React to `WorkerEvent`s."""
        for message in messages:
            try:
                event = registry_pb.WorkerEvent.FromString(message.data)
            except DecodeError as error:
                await self._announcer.dead_letter("workers", message.data, repr(error))
                continue
            if event.kind in LOST_KINDS and event.worker_session:
                # One that left in good order and could not give its runs back has not failed at them.
                counts, session = event.kind != "unregistered", event.worker_session
                for run_id in await self._live.session_runs(session):
                    await self.take_back(
                        run_id, f"worker {event.worker_id} was {event.kind}", session=session, counts=counts
                    )

    async def take_back(
        self, run_id: int, why: str, *, session: str = "", token: int | None = None,
        code: ErrorCode = ErrorCode.WORKER_LOST, counts: bool = True,
    ) -> None:  # fmt: skip
        """Take one run from its holder (only with that `token`, if one is named): back to the queue, or to its end when
        the attempt `counts` and was the last.
        """
        run = await self._live.get(run_id)
        if run is None or run.state != "r" or token not in (None, run.token):
            return
        now = now_ms()
        failed, aborted = (
            _ending(run, now, why, code, Status.FAILED),
            _ending(run, now, why, code, Status.ABORTED),
        )
        verdict, attempt = await self._live.lose(
            run_id, now, session=session, token=run.token, counts=counts,
            failed=failed.SerializeToString(), aborted=aborted.SerializeToString(),
        )  # fmt: skip
        log.warning("run taken back", run_id=run_id, why=why, verdict=verdict, attempt=attempt)
        if verdict == "failed":
            await self._finish.archive_runs([failed])
            await self._leased.released(run_id, run.token, run.session)
        elif verdict == "aborted":
            await self._finish.archive_runs([aborted])
            await self._leased.released(run_id, run.token, run.session)
        elif verdict == "requeued":
            # The old message, if there is one, would come again by itself, but only after its acknowledgement time.
            await self._leased.queue_again(pb.RunSpec.FromString(run.spec), attempt, run.token, run.session)
            await self._announcer.runs([run_event("retrying", run_of_live(run))])

    async def run(self) -> None:
        """For ever: sleep until the earliest lease or deadline, and look after what has run out."""
        while True:
            try:
                await self._sweep()
                due = await self._live.next_expiry()
                wait = MAX_SLEEP_SECONDS if due is None else (due - now_ms()) / 1000 + 0.05
            except TEMPORARY as error:
                log.warning("the sweeper waits", reason=error.message)
                self._trust_from = time.monotonic() + self._lease_seconds
                wait = 1.0
            await asyncio.sleep(min(MAX_SLEEP_SECONDS, max(MIN_SLEEP_SECONDS, wait)))

    async def _sweep(self) -> None:
        now = now_ms()
        if time.monotonic() >= self._trust_from:
            expired = await self._live.get_many(await self._live.expired(now))
            await self._isolation.each([run for run in expired if run is not None], self._expire)
        await self._live.flush_confirmed()
        for mark, run_ids in await self._live.unpublished(now - ACCEPTING_MS):
            await self._drop_unpublished(run_ids)
            self._live.confirm(mark)

    async def _set_aside(self, run: LiveRun, reason: str) -> None:
        """A run that can't be taken back fails."""
        ended = _ending(run, now_ms(), reason, ErrorCode.INTERNAL, Status.FAILED)
        await self._finish.archive_runs([ended])

    async def _expire(self, run: LiveRun) -> None:
        spec = pb.RunSpec.FromString(run.spec)
        if now_ms() > run.started_ms + spec.timeout_ms:
            await self.take_back(run.run_id, "its worker did not enforce the timeout", code=ErrorCode.TIMED_OUT)
        else:
            await self.take_back(run.run_id, "its worker stopped reporting")

    async def _drop_unpublished(self, run_ids: Sequence[int]) -> None:
        """Runs that nobody was promised. One whose message did get out is rebuilt from it when it is claimed."""
        for run in await self._live.get_many(run_ids):
            if run is not None and run.state in ("p", "k") and not run.token:
                spec = pb.RunSpec.FromString(run.spec)
                log.warning("removing a run that was never published", run_id=run.run_id)
                await self._live.forget([(run.run_id, spec.task_id, external_key(spec))])


def _ending(run: LiveRun, now: int, why: str, code: ErrorCode, status: Status) -> pb.Run:
    ended = run_of_live(run)
    ended.status = TO_PROTO[status]
    ended.completed_ms = ended.updated_ms = now
    ended.error_message, ended.error_code = why, code.value
    if status is Status.ABORTED:
        ended.stop.MergeFromString(run.asked)
        ended.stop.requested_ms, ended.stop.stopped_ms, ended.stop.how = run.abort_ms, now, "worker_lost"
    return ended
