"""Waiting pull requests at one JetStream consumer, and what they bring. Owns the requests and their inbox; knows no
subject.

The library's `fetch` asks anew for each batch, and after its first empty answer hands over what comes only when the
batch is full or its time is up. Here one request of a whole batch stays with the server: whatever comes is there at
once, and nothing is asked while nothing comes, but once in `EXPIRES_SECONDS`.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from chassis import counters

EXPIRES_SECONDS = 30.0
# The server says this often that it still has a request. One that it says nothing of for twice as long is lost, as it
# may be when the server was started anew, and is made again.
HEARTBEAT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
HEARTBEAT = "100"


class ConsumerPull:
    """`take` is called by one task only. At most twice `batch` messages are given out and not yet taken."""

    def __init__(self, nc: Client, stream: str, consumer: str, *, batch: int) -> None:
        self._nc, self._stream, self.consumer, self._batch = nc, stream, consumer, batch
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._request = orjson.dumps({
            "batch": batch, "expires": int(EXPIRES_SECONDS * 1e9), "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9)
        })  # fmt: skip
        self._inbox = nc.new_inbox()
        self._subscription: Any = None
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        # How many messages the request that is with the server may still bring, when it counts as lost, its number.
        self._left, self._until, self._number = 0, 0.0, 0
        # `unsure`: the server may have lost the consumer, and says nothing to requests at one that it does not have.
        self._gone = self._unsure = False
        self.heard_at = 0.0

    async def begin(self) -> None:
        """Listen for answers."""
        self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_answer, pending_msgs_limit=-1)

    async def take(self) -> list[Msg]:
        """At least one message, at most `batch`; waits for it. Raises `NotFoundError` when the consumer is gone."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if self._gone:
                raise NotFoundError(description=f"consumer {self.consumer} is gone")
            if self._left <= 0:
                await self._ask()
            if self._arrived:
                return [self._arrived.popleft() for _ in range(min(len(self._arrived), self._batch))]
            try:
                async with asyncio.timeout_at(self._until):
                    await self._wake.wait()
            except TimeoutError:
                if loop.time() >= self._until and self._nc.is_connected:
                    counters.count(counters.UNTOLD, self.consumer)
                self.forget()

    async def _ask(self) -> None:
        if self._unsure:
            await self._nc.jetstream().consumer_info(self._stream, self.consumer)
            self._unsure = False
        self._number += 1
        self._left = self._batch
        self._heard()
        await self._nc.publish(self._subject, self._request, reply=f"{self._inbox}.{self._number}")

    def _heard(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._until = self.heard_at + 2 * HEARTBEAT_SECONDS

    async def _on_answer(self, message: Msg) -> None:
        self._heard()
        if message.reply:
            self._left -= 1
            self._arrived.append(message)
        else:
            # The request is still there (100), its time is over (408), or the consumer is gone (409, or 503 when
            # nobody answers for it).
            status = (message.headers or {}).get("Status", "")
            if status != HEARTBEAT and message.subject.rpartition(".")[2] == str(self._number):
                self._left = 0
                self._gone = status not in ("404", "408")
        self._wake.set()

    def forget(self) -> None:
        """The server has forgotten the request, as it does with the connection, and perhaps more."""
        self._left, self._unsure = 0, True
        self._wake.set()

    async def end(self) -> None:
        """Withdraw the request, and give back what was given out and not taken: it comes again at once."""
        if self._subscription is not None:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._subscription.drain()
        for message in self._arrived:
            with contextlib.suppress(NatsError, OSError):
                await message.nak()
        self._arrived.clear()
