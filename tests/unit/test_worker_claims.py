"""Claims of a worker: one that fails unexpectedly is set aside, and slots come free on every way."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from chassis import poison
from scraper.held import HeldRuns
from scraper.run_messages import Identity
from scraper.worker import Worker
from trawl.scheduler.v1 import runs_pb2, work_pb2

POISON = 13


class Message:
    """A work message that remembers what became of it."""

    def __init__(self, run_id: int, data: bytes | None = None) -> None:
        spec = runs_pb2.RunSpec(run_id=run_id, queue="noop")
        self.data = spec.SerializeToString() if data is None else data
        self.subject, self.reply = "trawl.runs.ready.noop.normal", f"$JS.ACK.RUNS.c.1.{run_id}.1.0.0"
        self.metadata = SimpleNamespace(sequence=SimpleNamespace(stream=run_id))
        self.said: list[str] = []

    async def ack(self) -> None:
        self.said.append("ack")

    async def nak(self, delay: float = 0) -> None:
        self.said.append("nak")

    async def term(self) -> None:
        self.said.append("term")


class Scheduler:
    """Drops every claim, and fails in a way of its own at one."""

    def stub(self, _factory: object) -> Any:
        return Mock()

    async def call(self, _method: object, request: Any, **_: object) -> Any:
        await asyncio.sleep(0)
        if any(claim.run_id == POISON for claim in request.claims):
            raise KeyError(POISON)
        verdict = work_pb2.CLAIM_VERDICT_DROP
        return work_pb2.ClaimResponse(
            results=[work_pb2.ClaimResult(run_id=claim.run_id, verdict=verdict) for claim in request.claims]
        )


class Events:
    """Keeps dead letters."""

    def __init__(self) -> None:
        self.dead: list[tuple[str, dict[str, str]]] = []
        self.on_reconnect: list[Any] = []

    async def publish_with(self, subject: str, _payload: bytes, headers: dict[str, str]) -> None:
        self.dead.append((subject, headers))


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def worker(events: Events, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(poison, "log", Mock())
    one: Any = events
    scheduler: Any = Scheduler()
    nothing: Any = Mock()
    return Worker(
        identity=Identity("w", "s", "h"), events=one, scheduler=scheduler, results=nothing, blobs=nothing,
        executors={"noop": nothing}, held=HeldRuns({"light": 8}, {"noop": "light"}, total=8),
    )  # fmt: skip


async def claim(worker: Worker, *messages: Message) -> None:
    """As the pull loop does it."""
    claims = asyncio.Semaphore(1)
    await claims.acquire()
    worker.held.reserve("noop", len(messages))
    some: Any = messages
    await worker._claim_reserved("noop", some, claims)
    assert not claims.locked()


async def test_refused_claims_give_their_slots_back_and_say_so(worker: Worker) -> None:
    freed = 0

    def count() -> None:
        nonlocal freed
        freed += 1

    worker.held.freed = count
    messages = [Message(1), Message(2)]
    await claim(worker, *messages)
    assert [message.said for message in messages] == [["ack"], ["ack"]]
    assert (worker.held.free("noop"), freed) == (8, 1)


async def test_a_claim_that_fails_unexpectedly_becomes_a_dead_letter_and_holds_up_no_other_one(
    worker: Worker, events: Events
) -> None:
    bad = Message(POISON)
    for attempt in range(3):
        good = Message(100 + attempt)
        await claim(worker, good, bad)
        assert good.said == ["ack"]
    assert bad.said == ["nak", "nak", "term"]
    ((subject, headers),) = events.dead
    assert subject == "trawl.dead.ready"
    assert any("KeyError" in text for text in headers.values())
    assert worker.held.free("noop") == 8


@pytest.mark.parametrize("broken", [Message(5, b"\xff"), Message(6)])
async def test_a_message_that_cannot_be_read_is_a_dead_letter_at_once(
    worker: Worker, events: Events, broken: Message
) -> None:
    broken.said.clear()
    if broken.data != b"\xff":
        broken.reply = "no.reply"
    good = Message(7)
    await claim(worker, broken, good)
    assert (good.said, broken.said, len(events.dead)) == (["ack"], ["term"], 1)
