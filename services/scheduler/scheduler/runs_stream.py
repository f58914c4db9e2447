"""The RUNS stream as a whole: how much is in it, and every run that it has. Must not know Redis or MongoDB."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chassis.errors import Unavailable
from chassis.events import JETSTREAM_DOWN, Events
from google.protobuf.message import DecodeError
from nats.js.errors import NotFoundError
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

BATCH = 200
READERS = 16
Take = Callable[[Sequence[tuple[pb.RunSpec, bytes]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamState:
    """`made`: when this very stream was made, as NATS says it; another one has another."""

    messages: int
    first: int
    last: int
    made: str


class RunsStream:
    """Every method raises `Unavailable` when JetStream can't be reached."""

    def __init__(self, events: Events) -> None:
        self._events = events

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached."""
        return self._events.connected

    async def state(self) -> StreamState:
        """What is there; a stream that is gone is made again."""
        with _jetstream_errors():
            try:
                info = await self._events.js.stream_info(subjects.RUNS_STREAM)
            except NotFoundError:
                await self._events.declare_again()
                info = await self._events.js.stream_info(subjects.RUNS_STREAM)
        state, made = info.state, info.created
        return StreamState(state.messages, state.first_seq, state.last_seq, made.isoformat() if made else "")

    async def skip_to(self, sequence: int) -> None:
        """The next message has that sequence; those that are there go away."""
        with _jetstream_errors():
            await self._events.js.purge_stream(subjects.RUNS_STREAM, seq=sequence)

    async def read(self, take: Take) -> None:
        """Every run whose message is there now, in parts and in no order."""
        state = await self.state()
        if not state.messages:
            return
        width = max(1, (state.last - state.first) // READERS + 1)
        lows = range(state.first, state.last + 1, width)
        await asyncio.gather(*(self._read(low, min(low + width, state.last + 1), take) for low in lows))

    async def _read(self, sequence: int, high: int, take: Take) -> None:
        batch: list[tuple[pb.RunSpec, bytes]] = []
        while sequence < high:
            with _jetstream_errors():
                try:
                    message = await self._events.js.get_msg(
                        subjects.RUNS_STREAM, seq=sequence, subject="trawl.runs.ready.>", next=True
                    )
                except NotFoundError:
                    break
            sequence = (message.seq or high) + 1
            if sequence > high:
                break
            try:
                batch.append((pb.RunSpec.FromString(message.data or b""), message.data or b""))
            except DecodeError:
                continue  # the worker that gets it makes it a dead letter
            if len(batch) >= BATCH:
                await take(batch)
                batch = []
        if batch:
            await take(batch)


@contextmanager
def _jetstream_errors() -> Iterator[None]:
    try:
        yield
    except JETSTREAM_DOWN as error:
        raise Unavailable("NATS is unavailable", dependency="nats") from error
