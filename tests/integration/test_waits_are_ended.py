"""Every wait ends by being told. Its time limit is a net: here it is longer than the test has patience."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import stores
from chassis import counters, pulling
from chassis.events import JETSTREAM_DOWN, Events, Msg
from nats.js.errors import NotFoundError
from scraper import puller as puller_module
from scraper.held import HeldRuns
from scraper.puller import QueuePuller
from wire import subjects

ROOT = Path(__file__).parents[2]
# Waits are told to last for the first, and must have ended within the second.
LONG_SECONDS, PATIENCE_SECONDS = 600.0, 40.0
STREAM, SUBJECT = subjects.EVENTS_STREAM, subjects.TASK_EVENTS


@pytest.fixture
async def events(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Events]:
    monkeypatch.setattr(pulling, "EXPIRES_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(puller_module, "IDLE_PULL_SECONDS", LONG_SECONDS)
    events = Events(nats_url, "test", dead_letter=subjects.dead_letter)
    await events.connect()
    await events.declare_streams(subjects.STREAMS, 1)
    before = counters.counted(counters.UNTOLD)
    yield events
    assert counters.counted(counters.UNTOLD) == before
    await events.close()


async def resting(events: Events, stream: str, consumer: str) -> None:
    """Return once somebody waits at the consumer and all is quiet."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(*JETSTREAM_DOWN):  # a server that was started anew needs a moment
                if (await events.js.consumer_info(stream, consumer, timeout=1)).num_waiting:
                    return
            await asyncio.sleep(0.01)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def test_what_is_published_after_a_rest_is_handed_over_at_once(events: Events) -> None:
    await events.ensure_consumer(STREAM, "c", SUBJECT)
    pull = await events.pull(STREAM, "c", batch=256)
    for payload in (b"first", b"second", b"third"):
        taking = asyncio.create_task(pull.take())
        await resting(events, STREAM, "c")
        await events.publish(SUBJECT, payload)
        async with asyncio.timeout(PATIENCE_SECONDS):
            (message,) = await taking
        assert message.data == payload
        await message.ack()
    await events.end_pull(pull)


async def test_a_batch_that_is_used_up_is_asked_for_again(events: Events) -> None:
    await events.ensure_consumer(STREAM, "c", SUBJECT)
    pull = await events.pull(STREAM, "c", batch=3)
    wanted = [str(n).encode() for n in range(20)]
    for payload in wanted:
        await events.publish(SUBJECT, payload)
    taken: list[bytes] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(taken) < len(wanted):
            messages = await pull.take()
            assert 1 <= len(messages) <= 3
            for message in messages:
                taken.append(message.data)
                await message.ack()
    assert taken == wanted
    await events.end_pull(pull)


async def test_a_pull_that_ends_gives_back_what_it_was_given(events: Events) -> None:
    await events.ensure_consumer(STREAM, "c", SUBJECT, ack_wait=LONG_SECONDS)
    pull = await events.pull(STREAM, "c", batch=10)
    taking = asyncio.create_task(pull.take())
    await resting(events, STREAM, "c")
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await events.publish(SUBJECT, b"for nobody")
    await events.end_pull(pull)
    other = await events.pull(STREAM, "c", batch=10)
    async with asyncio.timeout(PATIENCE_SECONDS):
        (message,) = await other.take()
    assert message.data == b"for nobody"
    await events.end_pull(other)


async def test_a_pull_hears_that_its_consumer_is_gone(events: Events) -> None:
    await events.ensure_consumer(STREAM, "c", SUBJECT)
    pull = await events.pull(STREAM, "c", batch=10)
    taking = asyncio.create_task(pull.take())
    await resting(events, STREAM, "c")
    await events.js.delete_consumer(STREAM, "c")
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(NotFoundError):
            await taking
    await events.end_pull(pull)


async def test_a_consumer_goes_on_after_the_server_was_away(events: Events, nats_server: stores.Store) -> None:
    handled: list[bytes] = []

    async def handle(messages: object) -> None:
        assert isinstance(messages, list)
        handled.extend(message.data for message in messages)

    consuming = asyncio.create_task(events.consume(STREAM, "c", SUBJECT, handle))
    await events.publish(SUBJECT, b"before")
    await until(lambda: handled == [b"before"])
    nats_server.kill()
    nats_server.start()
    await until(lambda: events.connected)
    await resting(events, STREAM, "c")
    await events.publish(SUBJECT, b"after")
    await until(lambda: b"after" in handled)
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)


class Queue:
    """A queue with two slots that another one shares."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.held = HeldRuns({"process": 2}, {"mine": "process", "other": "process"}, total=2)
        self._starved: set[QueuePuller] = set()
        self.puller = QueuePuller(events, "mine", free=lambda: self.held.free("mine"), starved=self._starved)
        self.held.freed = self._freed

    def _freed(self) -> None:
        for puller in self._starved:
            puller.wake()

    async def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            await self._events.publish(subjects.ready_subject("mine", "normal"), payload)

    async def pulled(self, pulling: "asyncio.Task[list[Msg]]") -> list[bytes]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [message.data for message in await pulling]


@pytest.fixture
async def queue(events: Events) -> Queue:
    queue = Queue(events)
    await queue.puller.start()
    return queue


@pytest.mark.parametrize("other", ["mine", "other"])
async def test_slots_that_come_free_on_any_way_are_used_at_once(queue: Queue, other: str) -> None:
    """They were reserved for pulled messages whose claim was refused, in this queue or in one that shares its slots."""
    queue.held.reserve(other, 2)
    pulling = asyncio.create_task(queue.puller.pull())
    await queue.publish(b"a", b"b", b"c")
    await asyncio.sleep(0)
    assert not pulling.done()
    queue.held.reserve(other, -2)
    assert len(await queue.pulled(pulling)) == 2


async def test_a_run_that_comes_after_a_rest_is_pulled_at_once(queue: Queue, events: Events) -> None:
    pulling = asyncio.create_task(queue.puller.pull())
    await resting(events, subjects.RUNS_STREAM, subjects.ready_consumer("mine", "normal"))
    await queue.publish(b"a")
    assert await queue.pulled(pulling) == [b"a"]


async def test_a_puller_that_stops_gives_back_what_it_was_given(queue: Queue, events: Events) -> None:
    """Else a run that was accepted as the stop began would wait until its message comes again by itself."""
    pulling = asyncio.create_task(queue.puller.pull())
    await resting(events, subjects.RUNS_STREAM, subjects.ready_consumer("mine", "normal"))
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)
    await queue.publish(b"a")
    await queue.puller.stop()
    after = Queue(events)
    await after.puller.start()
    assert await after.pulled(asyncio.create_task(after.puller.pull())) == [b"a"]


async def test_the_server_says_that_it_still_has_a_request(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one that is lost is noticed within seconds, and one that is not is never made again."""
    monkeypatch.setattr(pulling, "HEARTBEAT_SECONDS", 3.0)
    await events.ensure_consumer(STREAM, "c", SUBJECT)
    pull = await events.pull(STREAM, "c", batch=10)
    taking = asyncio.create_task(pull.take())
    await resting(events, STREAM, "c")
    first = pull.heard_at
    await until(lambda: pull.heard_at > first)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await events.end_pull(pull)


def test_nobody_uses_the_librarys_own_way_to_fetch() -> None:
    """It hands over what comes after a rest only when its time is up."""
    for path in (*ROOT.glob("services/*/*/**/*.py"), *ROOT.glob("libs/*/*/*.py")):
        assert not re.search(r"pull_subscribe|\.fetch\(\w+, timeout", path.read_text()), path
