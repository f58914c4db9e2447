"""Pulls from several queues for as long as somebody waits: for leases, where the scraper's standing pulls don't fit.

Owns the pull requests, their inbox, and the order of service; must not know what a run is. Nothing is polled: a waiting
request stays with each consumer until the call that waits has ended.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from chassis.errors import Unavailable
from chassis.events import NATS_DOWN, Events, Msg
from nats.js.errors import APIError, NotFoundError
from wire import subjects

NO_WAIT_SECONDS = 1.0
CLOSE_SECONDS = 2.0
# Runs that are queued together come as one answer.
GATHER_SECONDS = 0.003
# A consumer that refuses a waiting request (gone, or too many wait) is asked again after this long.
REFUSED_SECONDS = 0.5
# One call in this many is served lowest priority first: the rule of `scraper.puller`.
FAIR_EVERY = 10


class QueuePulls:
    """Makes pulls, and the consumers they need."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._consumers: set[str] = set()
        self._open: set[QueuePull] = set()
        self._round = 0
        events.on_reconnect.append(self._on_reconnect)

    async def _on_reconnect(self) -> None:
        self._consumers.clear()
        for pull in self._open:
            pull.forget_requests()

    def forget(self, durable: str) -> None:
        """The consumer may be gone."""
        self._consumers.discard(durable)

    async def ensure(self, queue: str, priority: str) -> str:
        """The consumer's name, once it is there. Raises `Unavailable`."""
        durable = subjects.ready_consumer(queue, priority)
        if durable not in self._consumers:
            try:
                await self._events.ensure_consumer(
                    subjects.RUNS_STREAM, durable, subjects.ready_subject(queue, priority),
                    ack_wait=subjects.READY_ACK_WAIT_SECONDS, max_ack_pending=subjects.READY_MAX_ACK_PENDING,
                )  # fmt: skip
            except (*NATS_DOWN, NotFoundError, APIError) as error:
                raise Unavailable("NATS is unavailable", dependency="nats") from error
            self._consumers.add(durable)
        return durable

    @contextlib.asynccontextmanager
    async def open(self, queues: Sequence[str]) -> "AsyncIterator[QueuePull]":
        """A `QueuePull`; what it gets and nobody takes goes back at its end."""
        await self._events.check()
        self._round += 1
        priorities = subjects.PRIORITIES[:: -1 if self._round % FAIR_EVERY == 0 else 1]
        start = self._round % max(1, len(queues))
        turned = [*queues[start:], *queues[:start]]
        pull = QueuePull(self._events, self, [(queue, priority) for priority in priorities for queue in turned])
        self._open.add(pull)
        try:
            await pull.begin()
            yield pull
        finally:
            self._open.discard(pull)
            await pull.end()


class QueuePull:
    """One caller's pull; `take` may be called again and again."""

    def __init__(self, events: Events, pulls: QueuePulls, sources: Sequence[tuple[str, str]]) -> None:
        self._events, self._pulls, self._sources = events, pulls, sources
        self._inbox = events.nc.new_inbox()
        self._subscription: Any = None
        self._arrived: deque[Msg] = deque()
        # Subjects with a waiting request.
        self._watched: set[str] = set()
        self._wake = asyncio.Event()
        self._closed = self._refused = False
        # Index of the source whose request without waiting has been answered in full.
        self._answered = -1

    async def begin(self) -> None:
        """Listen. Raises `Unavailable`."""
        try:
            self._subscription = await self._events.nc.subscribe(
                f"{self._inbox}.*.*", cb=self._on_message, pending_msgs_limit=-1
            )
        except NATS_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error

    async def end(self) -> None:
        """Withdraw the requests (the server drops those that nobody listens for), and give back what came too late."""
        self._closed = True
        while self._arrived:
            await self._give_back(self._arrived.popleft())
        if self._subscription is not None:
            with contextlib.suppress(*NATS_DOWN):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._subscription.drain()

    async def _give_back(self, message: Msg) -> None:
        with contextlib.suppress(*NATS_DOWN):  # then it comes again after its acknowledgement time
            await message.nak()

    def forget_requests(self) -> None:
        """The server has forgotten them."""
        self._watched.clear()
        self._wake.set()

    async def _on_message(self, message: Msg) -> None:
        if message.reply:
            self._watched.discard(message.subject)
            if self._closed:
                await self._give_back(message)
                return
            self._arrived.append(message)
        else:
            # `<inbox>.<index of the source>.<now | wait>`: there is nothing, the time is over, or it was refused.
            *_, index, kind = message.subject.split(".")
            queue, priority = self._sources[int(index)]
            status = message.headers.get("Status") if message.headers else ""
            if status == "503":
                self._pulls.forget(subjects.ready_consumer(queue, priority))
            if kind == "now":
                self._answered = int(index)
            else:
                self._watched.discard(subjects.ready_subject(queue, priority))
                self._refused = status != "408"
        self._wake.set()

    async def take(self, most: int, until: float, stop: asyncio.Event) -> list[Msg]:
        """At most `most` messages; none when `until` (the loop's time) has passed or `stop` is set. Raises
        `Unavailable`.
        """
        loop = asyncio.get_running_loop()
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                if not self._arrived:
                    await self._look(most)
                if self._arrived:
                    if self._watched:
                        await asyncio.sleep(GATHER_SECONDS)
                    return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]
                left = until - loop.time()
                if left <= 0:
                    break
                await self._watch(left)
                if not self._arrived and not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._wake.wait()
                if self._refused and not self._arrived:
                    self._refused = False
                    await asyncio.sleep(min(left, REFUSED_SECONDS))
        finally:
            stopped.cancel()
        return []

    async def _look(self, most: int) -> None:
        """What waits right now, in order of service; where a waiting request watches there is nothing."""
        for index, (queue, priority) in enumerate(self._sources):
            subject = subjects.ready_subject(queue, priority)
            if len(self._arrived) >= most:
                return
            if subject in self._watched or not self._events.connected:
                continue
            self._answered = -1
            await self._request(index, "now", {"batch": most - len(self._arrived), "no_wait": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NO_WAIT_SECONDS):
                    while len(self._arrived) < most and self._answered != index:
                        self._wake.clear()
                        await self._wake.wait()

    async def _watch(self, seconds: float) -> None:
        for index, (queue, priority) in enumerate(self._sources):
            subject = subjects.ready_subject(queue, priority)
            if subject not in self._watched and self._events.connected:
                self._watched.add(subject)
                await self._request(index, "wait", {"batch": 1, "expires": int(max(seconds, 0.01) * 1_000_000_000)})

    async def _request(self, index: int, kind: str, body: dict[str, int | bool]) -> None:
        durable = await self._pulls.ensure(*self._sources[index])
        try:
            await self._events.nc.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{subjects.RUNS_STREAM}.{durable}",
                orjson.dumps(body),
                reply=f"{self._inbox}.{index}.{kind}",
            )
        except NATS_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error
