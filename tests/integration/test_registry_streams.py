"""Heartbeats as streams, against a real registry and real stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import stores
from chassis.errors import DeadlineExceeded, InvalidInput, TrawlError, Unavailable
from trawl.workerregistry.v1 import workers_pb2 as pb

Registry = Any
SECONDS = 40.0


class Beats:
    """A worker's stream, and what was answered on it. `error`: why it broke; `ended`: the registry ended it."""

    def __init__(
        self, registry: Registry, worker_id: str, session: str = "s1", patience: float = 20, every: float = 0.1
    ) -> None:
        self.answers: list[tuple[str, bool]] = []
        self.error: TrawlError | None = None
        self.ended = False
        self.sent = 0
        self.said: dict[str, object] = {"id": worker_id, "session": session}
        self._registry, self._patience, self._every = registry, patience, every
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        answers = self._registry.client.pulse(
            self._registry.stub.Heartbeats, self._make, every_seconds=self._every, answer_seconds=self._patience
        )
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    self.answers.append((answer.status, answer.unknown))
            self.ended = True
        except TrawlError as error:
            self.error = error

    async def _make(self, answer: bool) -> pb.HeartbeatRequest:
        self.sent += 1
        return pb.HeartbeatRequest(**self.said, answer=answer)

    async def answered(self, *expected: tuple[str, bool]) -> None:
        """Wait until exactly that was answered."""

        async def so() -> bool:
            return self.answers == list(expected)

        await self._registry.until(so, SECONDS)

    async def sends(self, more: int) -> None:
        """Wait for so many heartbeats more."""
        enough = self.sent + more

        async def so() -> bool:
            return self.sent >= enough

        await self._registry.until(so, SECONDS)

    async def over(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(SECONDS):
            await self.task


@pytest.fixture
async def beats(registry: Registry) -> AsyncIterator[Any]:
    """Open a stream: `beats(worker_id, session, patience)`."""
    opened: list[Beats] = []

    def open_one(*arguments: Any) -> Beats:
        opened.append(Beats(registry, *arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.task.cancel()
    await asyncio.gather(*(one.task for one in opened), return_exceptions=True)


async def test_a_stream_is_heard_and_answered_where_there_is_something_to_say(registry: Registry, beats: Any) -> None:
    """The first heartbeat and each change are answered, drain among them; silence on the stream is no silence of the
    worker; a replaced session is told, and its stream ends, the new one's does not.
    """
    registry.interval_ms = 1_000
    await registry.register("w", "old")
    old = beats("w", "old")
    await old.answered(("active", False))
    old.said |= {"current_task_count": 1, "current_runs": [7]}

    async def busy() -> bool:
        return list((await registry.get("w")).current_runs) == [7]

    await registry.until(busy, SECONDS)
    await old.sends(5)
    assert old.answers == [("active", False)]
    await registry.update("w", status="draining")
    await old.answered(("active", False), ("draining", False))
    await registry.update("w", status="active")
    await old.answered(("active", False), ("draining", False), ("active", False))

    await registry.register("w", "new")
    new = beats("w", "new")
    await old.over()
    assert old.ended
    assert old.answers[-1] == ("offline", True)
    await new.answered(("active", False))
    await new.sends(5)
    assert new.answers == [("active", False)]
    assert not new.task.done()
    assert ("lost", "w", "new") not in await registry.kinds()


async def test_a_stream_belongs_to_one_worker(registry: Registry, beats: Any) -> None:
    """An unknown worker is told and hung up on; bad fields, another id later on among them, break it by name."""
    stranger = beats("nobody")
    await stranger.over()
    assert (stranger.ended, stranger.answers) == (True, [("offline", True)])
    await registry.register("w")
    for said, field in (
        ({"id": "other"}, "session"),
        ({"session": "s2"}, "session"),
        ({"memory_usage": -1}, "memory_usage"),
    ):
        # A message that is written after the wrong one may fail first, and gRPC then hides why the stream has ended.
        one = beats("w", "s1", 20, 2.0)
        await one.answered(("active", False))
        one.said |= said
        await one.over()
        assert isinstance(one.error, InvalidInput)
        assert one.error.field == field
    hostile = beats("w\n{", "s1")
    await hostile.over()
    assert isinstance(hostile.error, InvalidInput)
    assert hostile.error.field == "id"


async def test_a_stream_breaks_when_heartbeats_cannot_be_kept_or_the_registry_stops(
    registry: Registry, beats: Any, redis_server: stores.Store
) -> None:
    """So that a stream that isn't broken means to be heard. Open streams don't hold up the registry's end."""
    registry.interval_ms = 60_000
    await registry.register("w")
    first = beats("w")
    await first.answered(("active", False))
    await asyncio.to_thread(redis_server.kill)
    try:
        await first.over()
        assert isinstance(first.error, Unavailable)
    finally:
        await asyncio.to_thread(redis_server.start)
    await registry.until(registry.serving, SECONDS)
    second = beats("w")
    await second.answered(("active", False))
    stopping = asyncio.create_task(asyncio.to_thread(registry.program.stop))
    await second.over()
    assert isinstance(second.error, Unavailable)
    await stopping
    assert "Task exception" not in registry.program.log.read_text()


async def test_a_registry_that_hangs_is_noticed(registry: Registry, beats: Any) -> None:
    """The first heartbeat must be answered in time."""
    await registry.register("w")
    registry.program.pause()
    try:
        one = beats("w", "s1", 1)
        await one.over()
        assert isinstance(one.error, DeadlineExceeded | Unavailable)
    finally:
        registry.program.resume()


async def test_a_flood_of_heartbeats_is_held_back(registry: Registry) -> None:
    """Who sends without pauses waits for room to write; the registry's memory stays, and others are answered."""
    await registry.register("flood")
    await registry.register("w")
    assert registry.program.process is not None
    process = psutil.Process(registry.program.process.pid)
    before = process.memory_info().rss
    # 200 MB altogether.
    message = pb.HeartbeatRequest(id="flood", session="s1", current_runs=range(2**40, 2**40 + 3_000))
    call = registry.stub.Heartbeats()
    written = 0

    async def flood() -> None:
        nonlocal written
        for _ in range(200_000_000 // message.ByteSize()):
            await call.write(message)
            written += 1

    task = asyncio.create_task(flood())
    try:

        async def stall() -> bool:
            """A whole second in which next to nothing could be written."""
            seen = written
            await asyncio.sleep(1)
            return 0 < written - seen < 50 or (written == seen and written > 0)

        await registry.until(stall, SECONDS)
        assert not task.done()
        assert (await registry.beat("w")).status == "active"
        assert process.memory_info().rss - before < 60_000_000
    finally:
        task.cancel()
        call.cancel()
        await asyncio.gather(task, return_exceptions=True)
