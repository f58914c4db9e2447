"""Waits for runs to end. Owns: the subscription to run events, and who waits for which run. Knows no contract."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis import counters
from chassis.errors import DeadlineExceeded, Exhausted, Unavailable
from chassis.events import Events, Msg
from chassis.logs import get_logger
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2, runs_pb2
from wire.subjects import RUN_EVENTS

log = get_logger("watcher")
# Events may be missed while NATS reconnects; asking again this often is the safety net.
RECHECK_SECONDS = 2.0
# All waiters together ask at most this often, however many they are.
MAX_RECHECKS_PER_SECOND = 100
MAX_WAITING = 10_000
ENDED = frozenset({runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED, runs_pb2.RUN_STATUS_ABORTED})


class RunWatcher:
    """`fetch` gives a run's state now."""

    def __init__(
        self,
        events: Events,
        fetch: Callable[[int], Awaitable[runs_pb2.Run]],
        *,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._events, self._fetch, self._recheck_seconds = events, fetch, recheck_seconds
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._count = 0
        self._closing = False

    async def listen(self) -> None:
        """Connect and subscribe; the client subscribes again by itself after a reconnect."""
        await self._events.connect()
        await self._events.nc.subscribe(RUN_EVENTS, cb=self._heard)

    async def wait_ended(self, run_id: int, seconds: float) -> runs_pb2.Run:
        """The run once it has ended. Raises `DeadlineExceeded`, `Exhausted` when too many wait, `Unavailable` when the
        gateway stops, and what `fetch` raises about the run itself.
        """
        if self._count >= MAX_WAITING:
            raise Exhausted("too many requests wait for a run", retry_after_seconds=5)
        heard = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(heard)
        self._count += 1
        try:
            async with asyncio.timeout(seconds):
                return await self._watch(run_id, heard)
        except TimeoutError as error:
            raise DeadlineExceeded("the run has not ended in time", dependency="run") from error
        finally:
            self._count -= 1
            waiting = self._waiting[run_id]
            waiting.discard(heard)
            if not waiting:
                del self._waiting[run_id]

    async def _watch(self, run_id: int, heard: asyncio.Event) -> runs_pb2.Run:
        told = True
        while not self._closing:
            heard.clear()
            try:
                run = await self._fetch(run_id)
            except (Unavailable, DeadlineExceeded) as error:
                log.debug("cannot ask for a run", run_id=run_id, reason=error.message)
            else:
                if run.status in ENDED:
                    if not told:
                        counters.count(counters.UNTOLD, "run watcher")
                    return run
            try:
                async with asyncio.timeout(max(self._recheck_seconds, self._count / MAX_RECHECKS_PER_SECOND)):
                    told = await heard.wait()
            except TimeoutError:
                told = False
        raise Unavailable("the gateway is stopping", dependency="gateway")

    async def _heard(self, message: Msg) -> None:
        if not self._waiting:
            return
        try:
            events = events_pb2.RunEvents.FromString(message.data)
        except DecodeError as error:
            log.warning("unreadable run events", error=repr(error))
            return
        for event in events.events:
            if event.status in ENDED:
                self._wake(event.run_id)

    def _wake(self, run_id: int) -> None:
        for heard in self._waiting.get(run_id, ()):
            heard.set()

    def close(self) -> None:
        """Let everybody who waits go, with `Unavailable`."""
        self._closing = True
        for run_id in list(self._waiting):
            self._wake(run_id)
