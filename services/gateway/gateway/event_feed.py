"""Reads the system's events for one listener. Owns: its place in JetStream's EVENTS stream, and how it is named.

Each listener has a short-lived consumer of its own: the stream itself is the buffer, so a listener may be slow, come
again later at `<sequence>.<index>`, and miss nothing while the stream keeps it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from chassis.errors import Unavailable
from chassis.events import JETSTREAM_DOWN, Events
from chassis.logs import get_logger
from chassis.poison import passed_over
from chassis.pulling import ConsumerPull
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from wire import subjects

from gateway.happenings import Happening, read_message

log = get_logger("feed")
BATCH = 64
CALL_SECONDS = 5.0
# The server forgets a listener that died.
FORGOTTEN_SECONDS = 60.0


class EventFeed:
    """Listeners' way to the events."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def start(self, last_id: str) -> tuple[int, int]:
        """The place to go on at: sequence and index. After `last_id`, or now. Raises `Unavailable`."""
        await self._events.check()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                info = await self._events.js.stream_info(subjects.EVENTS_STREAM)
        except JETSTREAM_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error
        newest = int(info.state.last_seq)
        sequence, _, index = last_id.partition(".")
        if sequence.isdigit() and index.isdigit() and len(last_id) < 30 and 0 < int(sequence) <= newest:
            return int(sequence), int(index) + 1
        return newest + 1, 0

    async def listen(self, place: tuple[int, int]) -> AsyncGenerator[tuple[str, Happening], None]:
        """For ever: ids and happenings from there on."""
        sequence, first = place
        pull: ConsumerPull | None = None
        try:
            while True:
                try:
                    if pull is None:
                        sequence, first = await self._within(sequence, first)
                        pull = await self._pull(sequence)
                    messages = await pull.take()
                except JETSTREAM_DOWN as error:
                    log.debug("cannot pull", error=repr(error))
                    await self._events.end_pull(pull)
                    pull = None
                    await asyncio.sleep(0.5)
                    continue
                for message in messages:
                    sequence = message.metadata.sequence.stream
                    for index, happening in enumerate(_read(message.subject, message.data)):
                        if index >= first:
                            yield f"{sequence}.{index}", happening
                    sequence, first = sequence + 1, 0
        finally:
            if pull is not None:
                await self._forget(pull)

    async def _within(self, sequence: int, first: int) -> tuple[int, int]:
        """The place, or the start of a stream that has never been as far: it is another one, all of it unheard."""
        async with asyncio.timeout(CALL_SECONDS):
            info = await self._events.js.stream_info(subjects.EVENTS_STREAM)
        return (sequence, first) if sequence <= info.state.last_seq + 1 else (1, 0)

    async def _pull(self, sequence: int) -> ConsumerPull:
        async with asyncio.timeout(CALL_SECONDS):
            info = await self._events.js.add_consumer(
                subjects.EVENTS_STREAM,
                ConsumerConfig(
                    filter_subject=subjects.ALL_EVENTS,
                    ack_policy=AckPolicy.NONE,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=sequence,
                    inactive_threshold=FORGOTTEN_SECONDS,
                    mem_storage=True,
                ),
            )
            return await self._events.pull(subjects.EVENTS_STREAM, info.name, batch=BATCH)

    async def _forget(self, pull: ConsumerPull) -> None:
        await self._events.end_pull(pull)
        with contextlib.suppress(*JETSTREAM_DOWN):
            async with asyncio.timeout(1):
                await self._events.js.delete_consumer(subjects.EVENTS_STREAM, pull.consumer)


def _read(subject: str, payload: bytes) -> list[Happening]:
    with passed_over("event feed", subject):
        return read_message(subject, payload)
    return []
