"""Publishing of WorkerEvent on `trawl.events.workers`. Owns: the way from the outbox to NATS, and its message ids.
Must not know why something happened.

A fact leaves the outbox after NATS has acknowledged it: it survives the end of this process and any absence of NATS.
Facts are published in the order in which they happened, by one replica at a time. After a crash in between one may be
published again, under the same message id, which NATS drops within two minutes.
"""

import asyncio
from collections.abc import Callable, Iterable

from chassis.errors import Unavailable
from chassis.events import Events
from chassis.logs import get_logger
from chassis.poison import passed_over
from trawl.workerregistry.v1.events_pb2 import WorkerEvent
from wire.subjects import STREAMS, WORKER_EVENTS

from worker_registry.redis_heartbeats import RedisHeartbeats
from worker_registry.worker import WorkerFact

log = get_logger("events")
RETRY_SECONDS = 0.5


class Broker:
    """The connection to NATS, with our streams on it: they are declared again after it was away, for it may have lost
    them. `ready` is called whenever publishing can go on.
    """

    def __init__(self, events: Events, *, replicas: int, ready: Callable[[], None]) -> None:
        self._events, self._replicas, self._ready = events, replicas, ready
        self._declared = False
        events.on_reconnect.append(self._declare)

    async def connect(self) -> None:
        """Return when connected, however long that takes."""
        await self._events.connect()
        await self._declare()

    async def _declare(self) -> None:
        await self._events.declare_streams(STREAMS, self._replicas)
        self._declared = True
        self._ready()

    async def check(self) -> None:
        """Raise `Unavailable` while nothing can be published."""
        if not (self._events.connected and self._declared):
            raise Unavailable("NATS is unavailable", dependency="nats")


class Publisher:
    """Empties the outbox whenever it is woken."""

    def __init__(self, events: Events, heartbeats: RedisHeartbeats) -> None:
        self._events, self._heartbeats = events, heartbeats
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to publish."""
        self._wake.set()

    async def run(self) -> None:
        """For ever. What can't be published now is tried again, and stays where it is."""
        failing = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                busy_seconds = await self._empty_outbox()
            except Unavailable as error:
                if not failing:
                    log.warning("worker events wait", reason=error.message)
                failing, busy_seconds = True, RETRY_SECONDS
            else:
                failing = False
            if busy_seconds:
                self._wake.set()
                await asyncio.sleep(busy_seconds)

    async def _empty_outbox(self) -> float:
        """Answers for how many seconds another replica may be at it."""
        while (taken := await self._heartbeats.take_facts()).facts:
            try:
                await self._events.publish_all(_messages(taken.facts))
            except Unavailable:
                await self._heartbeats.give_up_facts()
                raise
            for fact in taken.facts:
                log.info("published", kind=fact.kind, worker=fact.worker_id, session=fact.session, reason=fact.reason)
            if await self._heartbeats.drop_facts(taken) == 0:
                return 0.0
        return taken.busy_ms / 1000


def _messages(facts: Iterable[WorkerFact]) -> list[tuple[str, bytes, str]]:
    messages = []
    for fact in facts:
        with passed_over("publisher", fact.worker_id):
            messages.append((WORKER_EVENTS, _event(fact).SerializeToString(), _message_id(fact)))
    return messages


def _event(fact: WorkerFact) -> WorkerEvent:
    return WorkerEvent(
        kind=fact.kind,
        worker_id=fact.worker_id,
        worker_session=fact.session,
        hostname=fact.hostname,
        time_ms=fact.time_ms,
        reason=fact.reason,
    )


def _message_id(fact: WorkerFact) -> str:
    return f"{fact.worker_id}:{fact.session}:{fact.kind}:{fact.time_ms}"
