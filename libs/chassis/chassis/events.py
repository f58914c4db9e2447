"""JetStream plumbing: a connection that never gives up, streams declared from a table, publishing that is
acknowledged, consuming that acknowledges after saving. Knows no subject.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import nats
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError, NoStreamResponseError, NotFoundError

from chassis.batching import STEADY_SECONDS
from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.poison import TEMPORARY, Isolation
from chassis.pulling import ConsumerPull

log = get_logger("events")
CONNECT_SECONDS = 5.0
PUBLISH_SECONDS = 5.0
DECLARE_AGAIN_SECONDS = 0.3
NATS_DOWN = (NatsError, TimeoutError, asyncio.TimeoutError, ConnectionError, OSError)
# What a call to JetStream raises when it could not be done.
JETSTREAM_DOWN = (*NATS_DOWN, APIError)


class StreamTable(Protocol):
    """A row of the streams' table."""

    name: str
    subjects: tuple[str, ...]
    retention: Any
    max_age_seconds: float
    max_bytes: int


DeadLetter = Callable[[str, str, int], tuple[str, dict[str, str]]]
Handle = Callable[[Sequence[Msg]], Awaitable[None]]
SetAside = Callable[[Msg, str], Awaitable[None]]


class Events:
    """One NATS connection. `on_reconnect` callbacks run after every re-established connection. `dead_letter` gives
    (subject, headers) for a message that is set aside: of who could not handle it, why, and when (epoch ms).
    """

    def __init__(self, url: str, name: str, *, dead_letter: DeadLetter) -> None:
        self._url, self._name, self._dead_letter = url, name, dead_letter
        self.nc = Client()
        self.js: JetStreamContext = self.nc.jetstream()
        self._acknowledged = _Acknowledged(self.nc)
        self._pulls: set[ConsumerPull] = set()
        self._streams: Sequence[StreamConfig] = ()
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []

    async def connect(self) -> None:
        """Connect, waiting for the server as long as it takes; cancel to give up."""
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self.nc.connect(
                        self._url,
                        name=self._name,
                        max_reconnect_attempts=-1,
                        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; the annotation is narrower than the code
                        ping_interval=5,
                        max_outstanding_pings=2,
                        drain_timeout=2,
                        pending_size=64 * 1024 * 1024,
                        reconnected_cb=self._reconnected,
                        disconnected_cb=self._disconnected,
                        error_cb=self._error,
                    )
            except NATS_DOWN:
                log.warning("waiting for NATS")
                await asyncio.sleep(0.3)
            else:
                return

    async def _reconnected(self) -> None:
        log.info("connected to NATS again")
        for pull in self._pulls:
            pull.forget()
        for callback in self.on_reconnect:
            await callback()

    async def _disconnected(self) -> None:
        log.warning("lost NATS")

    async def _error(self, error: Exception) -> None:
        log.debug("NATS error", error=repr(error))

    @property
    def connected(self) -> bool:
        """Whether the server can be reached now."""
        return bool(self.nc.is_connected)

    async def check(self) -> None:
        """Raises `Unavailable` when the server can't be reached now."""
        if not self.connected:
            raise Unavailable("NATS is unavailable", dependency="nats")

    async def declare_streams(self, table: Sequence[Any], replicas: int) -> None:
        """Make the streams that are not there, now and whenever one is found gone. An existing stream is left as
        operators have set it. Waits for JetStream as long as it takes.
        """
        self._streams = [_stream_config(row, replicas) for row in table]
        for config in self._streams:
            while True:
                try:
                    await self._declare(config)
                except JETSTREAM_DOWN as error:
                    log.warning("waiting for JetStream", stream=config.name, error=repr(error))
                    await asyncio.sleep(DECLARE_AGAIN_SECONDS)
                else:
                    break

    async def declare_again(self) -> None:
        """Make those of the declared streams that are gone. Raises what JetStream raises."""
        for config in self._streams:
            await self._declare(config)

    async def _declare(self, config: StreamConfig) -> None:
        try:
            await self.js.stream_info(str(config.name))
        except NotFoundError:
            try:
                await self.js.add_stream(config)
            except BadRequestError:  # another replica was faster; else this raises again
                await self.js.stream_info(str(config.name))

    async def publish(self, subject: str, payload: bytes, *, message_id: str = "") -> None:
        """Publish and wait for the acknowledgement. Raises `Unavailable`; then it may have been stored all the same."""
        await self.publish_all([(subject, payload, message_id)])

    async def publish_all(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """Publish `(subject, payload, message id)` all in flight, and wait for every acknowledgement."""
        if not self.connected:
            raise Unavailable("NATS is unavailable", dependency="nats")
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                try:
                    await self._acknowledged.publish(messages)
                except NoStreamResponseError:
                    await self.declare_again()
                    await self._acknowledged.publish(messages)
        except JETSTREAM_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error

    async def publish_with(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish one message with headers and wait for the acknowledgement. Raises `Unavailable` as `publish` does."""
        await self.check()
        try:
            await self.js.publish(subject, payload, timeout=PUBLISH_SECONDS, headers=headers)
        except JETSTREAM_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error

    async def ensure_consumer(self, stream: str, durable: str, subject: str, **config: Any) -> None:
        """Make a durable pull consumer with explicit acknowledgement, unless it is there; its stream as well."""
        try:
            await self.js.consumer_info(stream, durable)
        except NotFoundError:
            wanted = ConsumerConfig(
                durable_name=durable, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT, max_deliver=-1, **config
            )
            try:
                await self.js.add_consumer(stream, wanted)
            except NotFoundError:
                await self.declare_again()
                await self.js.add_consumer(stream, wanted)

    async def consume(
        self,
        stream: str,
        durable: str,
        subject: str,
        handle: Handle,
        *,
        batch: int = 256,
        ack_wait_seconds: float = 30,
        loaded_patience_seconds: float = 0,
        set_aside: SetAside | None = None,
    ) -> None:
        """For ever: fetch a batch, `handle` it, acknowledge it all. Under load (the last batch had company, or
        has just been) the next one is waited for a moment, where latency matters less than the number of batches.

        When `handle` raises what is temporary, the batch goes back with a delay and nothing is lost. When it raises
        anything else, the messages are handled apart: one that fails comes again, and after its last try it becomes a
        dead letter (`set_aside`, which gets the reason, is told as well). `handle` must bear a repetition.
        """
        settler = _Settler(durable, handle, Isolation(durable, self._aside(durable, set_aside), key=_sequence))
        pull: ConsumerPull | None = None
        loaded, last_at = False, 0.0
        try:
            while True:
                if loaded:
                    await asyncio.sleep(loaded_patience_seconds)
                try:
                    if pull is None:
                        await self.ensure_consumer(
                            stream, durable, subject, ack_wait=ack_wait_seconds, max_ack_pending=5_000
                        )
                        pull = await self.pull(stream, durable, batch=batch)
                    messages = await pull.take()
                except JETSTREAM_DOWN as error:
                    log.warning("cannot pull", consumer=durable, error=repr(error))
                    await self.end_pull(pull)
                    pull = None
                    await asyncio.sleep(0.3)
                    continue
                now = asyncio.get_running_loop().time()
                loaded, last_at = len(messages) > 1 or now - last_at < STEADY_SECONDS, now
                if not await settler.settled(messages):
                    await asyncio.sleep(0.5)
        finally:
            # Else the server hands messages to a request that nobody waits for, and they come again only late.
            await self.end_pull(pull)

    async def pull(self, stream: str, consumer: str, *, batch: int) -> ConsumerPull:
        """Waiting requests at a consumer, to be ended by `end_pull`."""
        pull = ConsumerPull(self.nc, stream, consumer, batch=batch)
        await pull.begin()
        self._pulls.add(pull)
        return pull

    async def end_pull(self, pull: ConsumerPull | None) -> None:
        """End it, if there is one."""
        if pull is not None:
            self._pulls.discard(pull)
            await pull.end()

    def _aside(self, durable: str, told: SetAside | None) -> SetAside:
        async def aside(message: Msg, reason: str) -> None:
            subject, headers = self._dead_letter(durable, reason, now_ms())
            await self.publish_with(subject, message.data, headers)
            if told is not None:
                await told(message, reason)

        return aside

    async def close(self) -> None:
        """Flush and close."""
        with contextlib.suppress(*NATS_DOWN):
            if self.nc.is_connected:
                await asyncio.wait_for(self.nc.flush(), 1)
        with contextlib.suppress(*NATS_DOWN):
            await self.nc.close()


def _stream_config(row: StreamTable, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=row.name,
        subjects=list(row.subjects),
        retention=RetentionPolicy.WORK_QUEUE if row.retention == "workqueue" else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=row.max_age_seconds or None,
        max_bytes=row.max_bytes,
        num_replicas=replicas,
        duplicate_window=120,
        allow_direct=True,
    )


def _sequence(message: Msg) -> int:
    return int(message.metadata.sequence.stream)


class _Settler:
    """Handles batches of one consumer, and answers for each message: done, or again."""

    def __init__(self, durable: str, handle: Handle, isolation: Isolation[Msg]) -> None:
        self._durable, self._handle, self._isolation = durable, handle, isolation

    async def settled(self, messages: list[Msg]) -> bool:
        """Whether the batch was handled and is acknowledged; else it goes back."""
        try:
            again = await self._isolation.all(messages, self._handle)
        except TEMPORARY as error:
            log.warning("events go back", consumer=self._durable, count=len(messages), reason=error.message)
            await self._give_back(messages)
            return False
        await self._give_back(again)
        for message in messages:
            if not again or message not in again:
                with contextlib.suppress(*NATS_DOWN):
                    await message.ack()
        return True

    @staticmethod
    async def _give_back(messages: list[Msg]) -> None:
        for message in messages:
            with contextlib.suppress(*NATS_DOWN):
                await message.nak(delay=1)


class _Acknowledged:
    """Publishes to JetStream with every acknowledgement on one inbox. The library's own way spends twice the time on
    each message: a unique id made of random digits, a parsed JSON, several futures.
    """

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._inbox = ""
        self._last = 0
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def publish(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """Return when the server has stored all of them. Raises `APIError` when it refuses one."""
        if not self._inbox:
            self._inbox = self._nc.new_inbox()
            await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_answer, pending_msgs_limit=-1)
        loop = asyncio.get_running_loop()
        tokens = []
        try:
            for subject, payload, message_id in messages:
                self._last += 1
                token = str(self._last)
                tokens.append(token)
                self._waiting[token] = loop.create_future()
                headers = {"Nats-Msg-Id": message_id} if message_id else None
                await self._nc.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            await asyncio.gather(*(self._waiting[token] for token in tokens))
        finally:
            for token in tokens:
                self._waiting.pop(token).cancel()

    async def _on_answer(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if b'"seq"' in message.data and b'"error"' not in message.data:
            future.set_result(None)
        else:
            # No stream takes the subject, or the stream refuses: `{"error": {"code", "err_code", "description"}}`.
            reason = orjson.loads(message.data).get("error", {}) if message.data else {}
            future.set_exception(APIError(**reason) if reason else NoStreamResponseError())


__all__ = ["JETSTREAM_DOWN", "NATS_DOWN", "Events", "Msg", "nats"]
