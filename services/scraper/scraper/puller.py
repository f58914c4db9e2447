"""Pulls work from JetStream: highest priority first while there is work, and told of new work while there is none.

Owns the pull requests and their inbox; must not know what a run is. `fetch` of the client library waits on one consumer
at a time, so the requests are made here: `$JS.API.CONSUMER.MSG.NEXT`, as the JetStream API describes them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from chassis import counters
from chassis.batching import LIGHT_BATCH
from chassis.events import JETSTREAM_DOWN, NATS_DOWN, Events, Msg
from chassis.logs import get_logger
from wire import subjects

log = get_logger("puller")
ACK_WAIT_SECONDS = subjects.READY_ACK_WAIT_SECONDS
IDLE_PULL_SECONDS = 30.0
# A wait that nobody has ended for this much longer than a pull lasts is looked into.
NET_SECONDS = 5.0
STOP_SECONDS = 2.0
NO_WAIT_SECONDS = 1.0
MAX_BATCH = 256
LOADED_PATIENCE_SECONDS = 0.003
# A waiting pull asks for a share of the free slots, so that a steady trickle of runs needs no request for each.
MAX_WAITING_BATCH = 16
SLOTS_PER_WAITING = 8
# One pull in this many is made lowest priority first, so that a steady stream of urgent work starves nobody for good.
FAIR_EVERY = 10


class QueuePuller:
    """Pulls for one queue. `pull` is called by one task only. It is in `starved` while it had too few slots: wake it
    when some come free.
    """

    def __init__(
        self, events: Events, queue: str, *, free: Callable[[], int], starved: "set[QueuePuller]"
    ) -> None:  # fmt: skip
        self._starved = starved
        self._events, self._queue, self._free = events, queue, free
        self._consumers = {priority: subjects.ready_consumer(queue, priority) for priority in subjects.PRIORITIES}
        self._arrived: deque[Msg] = deque()
        # (when it will have run out, how many messages it may still bring) of each waiting pull, by priority; one
        # without one is looked at by `_pull_now`.
        self._idle_pulls: dict[str, tuple[float, int]] = {}
        self._wake = asyncio.Event()
        self._no_wait: asyncio.Queue[Msg] | None = None
        self._inbox = ""
        self._round = 0
        self._busy = self._stopped = False
        # The server may have lost the consumers, and says nothing to requests at those that it does not have.
        self._unsure = False
        self._subscriptions: list[Any] = []

    async def start(self) -> None:
        """Make the consumers and listen."""
        await self._ensure_consumers()
        self._inbox = self._events.nc.new_inbox()
        for kind, callback in (("now", self._on_now), ("idle", self._on_idle)):
            subscription = await self._events.nc.subscribe(
                f"{self._inbox}.{kind}.*", cb=callback, pending_msgs_limit=-1
            )
            self._subscriptions.append(subscription)
        self._events.on_reconnect.append(self._on_reconnect)

    async def _ensure_consumers(self) -> None:
        for priority, durable in self._consumers.items():
            while True:
                try:
                    await self._events.ensure_consumer(
                        subjects.RUNS_STREAM, durable, subjects.ready_subject(self._queue, priority),
                        ack_wait=ACK_WAIT_SECONDS, max_ack_pending=subjects.READY_MAX_ACK_PENDING,
                    )  # fmt: skip
                    break
                except JETSTREAM_DOWN as error:
                    log.warning("cannot make the consumer", consumer=durable, error=repr(error))
                    await asyncio.sleep(0.5)

    async def _on_reconnect(self) -> None:
        # The server has forgotten the pulls that were waiting, and perhaps more.
        self._idle_pulls.clear()
        self._unsure = True
        self._wake.set()

    def wake(self) -> None:
        """Slots have come free, or pulling should look around again."""
        self._wake.set()

    async def stop(self) -> None:
        """Withdraw the waiting pulls, and give back what they have brought: it must be with nobody when this ends."""
        self._stopped = True
        for subscription in self._subscriptions:
            with contextlib.suppress(*NATS_DOWN):
                async with asyncio.timeout(STOP_SECONDS):
                    await subscription.drain()
        await self._take_arrived(0)

    async def _on_now(self, message: Msg) -> None:
        """An answer to a pull that does not wait."""
        if self._no_wait is not None:
            self._no_wait.put_nowait(message)
        elif message.reply:
            self._arrived.append(message)
            self._wake.set()

    async def _on_idle(self, message: Msg) -> None:
        """An answer to a waiting pull. The last token is the priority, of the run's subject as of the inbox'."""
        priority = message.subject.rpartition(".")[2]
        until, left = self._idle_pulls.pop(priority, (0.0, 0))
        if message.reply:
            self._arrived.append(message)
            if left > 1:
                self._idle_pulls[priority] = (until, left - 1)
        self._wake.set()

    async def pull(self) -> list[Msg]:
        """At least one message, at most as many as there are free slots; waits for both."""
        untold = False
        while True:
            self._wake.clear()
            free = 0 if self._stopped else min(self._free(), MAX_BATCH)
            if free < max(1, len(self._arrived)):
                self._starved.add(self)
            else:
                self._starved.discard(self)
            messages = await self._take_arrived(free)
            if free > 0:
                if self._unsure:
                    self._unsure = False
                    await self._ensure_consumers()
                if self._busy:
                    # Under load a moment's wait makes one claim of several.
                    await asyncio.sleep(LOADED_PATIENCE_SECONDS)
                if len(messages) < free and (self._busy or not messages):
                    messages += await self._pull_now(free - len(messages))
                self._busy = len(messages) > LIGHT_BATCH
                if messages:
                    if untold:
                        counters.count(counters.UNTOLD, f"pull-{self._queue}")
                    return messages
            untold = not await self._woken()

    async def _woken(self) -> bool:
        """Wait; False when the time was over before somebody said anything. Whoever ends a wait says so."""
        try:
            async with asyncio.timeout(IDLE_PULL_SECONDS + NET_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _take_arrived(self, most: int) -> list[Msg]:
        """What waiting pulls have brought; what there is no slot for goes back at once."""
        messages = [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]
        while self._arrived:
            with contextlib.suppress(*NATS_DOWN):
                await self._arrived.popleft().nak()
        return messages

    async def _pull_now(self, most: int) -> list[Msg]:
        """Ask those priorities that no waiting pull watches; one that is empty gets a waiting pull again."""
        self._round += 1
        order: Sequence[str] = subjects.PRIORITIES
        if self._round % FAIR_EVERY == 0:
            order = order[::-1]
        now = asyncio.get_running_loop().time()
        messages: list[Msg] = []
        for priority in order:
            if len(messages) < most and self._idle_pulls.get(priority, (0.0, 0))[0] <= now:
                found = await self._pull_priority(priority, most - len(messages))
                messages += found
                if not found:
                    await self._watch(priority)
        return messages

    async def _pull_priority(self, priority: str, most: int) -> list[Msg]:
        """What is waiting right now on one consumer."""
        if not self._events.connected:
            return []
        self._no_wait = asyncio.Queue()
        messages: list[Msg] = []
        try:
            await self._request(priority, f"now.{priority}", {"batch": most, "no_wait": True})
            async with asyncio.timeout(NO_WAIT_SECONDS):
                while len(messages) < most:
                    message = await self._no_wait.get()
                    if message.reply:
                        messages.append(message)
                    else:
                        if message.headers and message.headers.get("Status") == "503":
                            await self._ensure_consumers()
                        break
        except JETSTREAM_DOWN:
            self._unsure = True  # what was delivered is in `messages`; the rest is redelivered
        finally:
            self._no_wait = None
        return messages

    async def _watch(self, priority: str) -> None:
        """Leave a waiting pull with the consumer: the server answers the moment a run is queued."""
        if self._events.connected:
            most = max(1, min(MAX_WAITING_BATCH, self._free() // SLOTS_PER_WAITING))
            self._idle_pulls[priority] = (asyncio.get_running_loop().time() + IDLE_PULL_SECONDS + 2, most)
            with contextlib.suppress(*NATS_DOWN):
                await self._request(
                    priority, f"idle.{priority}", {"batch": most, "expires": int(IDLE_PULL_SECONDS * 1_000_000_000)}
                )

    async def _request(self, priority: str, reply: str, body: dict[str, int | bool]) -> None:
        await self._events.nc.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.RUNS_STREAM}.{self._consumers[priority]}",
            orjson.dumps(body),
            reply=f"{self._inbox}.{reply}",
        )
