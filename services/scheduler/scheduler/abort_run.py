"""Use case: abort a run. Owns the wait for the proof; a run is `aborted` only once its work has stopped."""

import asyncio
from collections import defaultdict

from chassis import counters
from chassis.clock import now_ms
from chassis.errors import Conflict
from chassis.events import Msg
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO, never_started
from scheduler.redis_runs import LiveRuns
from scheduler.run import TERMINAL, Status

MAX_WAIT_SECONDS = 30.0
RECHECK_SECONDS = 1.0


class EndedRuns:
    """Wakes those who wait for a run's end, whichever scheduler applied it."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = defaultdict(set)

    async def on_events(self, message: Msg) -> None:
        """Callback of a plain subscription to the run events."""
        if not self._waiting:
            return
        try:
            events = events_pb2.RunEvents.FromString(message.data).events
        except DecodeError:
            return  # only the scheduler publishes there, and the archive is asked anyway
        for event in events:
            for waiter in self._waiting.get(event.run_id, ()):
                waiter.set()

    async def wait(self, run_id: int, seconds: float) -> bool:
        """Return when something happened to the run, or (False) when the time is over."""
        waiter = asyncio.Event()
        self._waiting[run_id].add(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting[run_id].discard(waiter)
            if not self._waiting[run_id]:
                del self._waiting[run_id]


class AbortRun:
    """Aborts runs in any state."""

    def __init__(
        self, *, live: LiveRuns, reader: ReadRuns, finish: FinishRuns, announcer: Announcer, ended: EndedRuns
    ) -> None:
        self._live, self._reader, self._finish, self._announcer = live, reader, finish, announcer
        self._ended = ended

    async def abort(self, run_id: int, wait_seconds: float, *, by: str = "", reason: str = "") -> pb.Run:
        """The run after the abort; still `running` when its work has not stopped within the wait. `by`: who asks.

        Raises `NotFound`, or `Conflict` when it has ended already.
        """
        run = await self._reader.get(run_id)
        if FROM_PROTO[run.status] in TERMINAL:
            raise Conflict(f"run {run_id} has ended already", id=run_id, status=FROM_PROTO[run.status].value)
        now = now_ms()
        aborted = never_started(run.spec, Status.ABORTED, now, message="aborted before it started", how="before_start")
        aborted.attempt = run.attempt
        asked = pb.StopReceipt(requested_by=by, reason=reason)
        aborted.stop.MergeFrom(asked)
        verdict, session = await self._live.abort(
            run_id, now, aborted.SerializeToString(), asked=asked.SerializeToString()
        )
        if verdict == "aborted":
            await self._finish.archive_runs([aborted])
            return aborted
        if verdict == "asked":
            await self._announcer.order_abort(session, [run_id])
        return await self._await_end(run_id, min(wait_seconds, MAX_WAIT_SECONDS))

    async def _await_end(self, run_id: int, wait_seconds: float) -> pb.Run:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        told = True
        while True:
            run = await self._reader.get(run_id)
            left = until - loop.time()
            if FROM_PROTO[run.status] in TERMINAL or left <= 0:
                if not told and left > 0:
                    counters.count(counters.UNTOLD, "abort")
                return run
            # The event can be missed while NATS is away, so the state is looked at now and then.
            told = await self._ended.wait(run_id, min(left, RECHECK_SECONDS))
