"""Work that fails with something nobody expected: it is set aside, and everything else goes on."""

import asyncio
from collections.abc import Sequence
from unittest.mock import Mock

import pytest
from chassis import counters, poison
from chassis.batching import Batcher
from chassis.errors import InvalidInput, TrawlError, Unavailable
from chassis.poison import Isolation, Tries, apart, keep_going, passed_over, reason_of
from gateway.native.statistics import Snapshot, StatisticsCollector
from trawl.scheduler.v1 import runs_pb2


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "log", Mock())  # tracebacks for people take their time


class Handler:
    """Handles numbers; raises `error` when one of `bad` is among them."""

    def __init__(self, *bad: int, error: Exception | None = None) -> None:
        self.bad, self.error = set(bad), error or KeyError("x")
        self.handled: set[int] = set()
        self.calls = 0

    async def __call__(self, items: Sequence[int]) -> None:
        self.calls += 1
        if self.bad & set(items):
            raise self.error
        self.handled |= set(items)


@pytest.mark.parametrize("bad", [(), (0,), (6,), (13,), (0, 1), (3, 9), tuple(range(14))])
async def test_those_that_can_be_handled_are_whatever_fails_beside_them(bad: tuple[int, ...]) -> None:
    handler = Handler(*bad)
    failed = await apart(range(14), handler)
    assert [item for item, _ in failed] == list(bad)
    assert handler.handled == set(range(14)) - set(bad)
    assert all(error is handler.error for _, error in failed)


async def test_a_batch_with_one_bad_item_costs_a_few_calls_and_a_good_one_costs_one() -> None:
    good, bad = Handler(), Handler(100)
    await apart(range(256), good)
    await apart(range(256), bad)
    assert good.calls == 1
    assert bad.calls <= 2 * 8 + 1


async def test_what_is_temporary_is_not_the_items_fault() -> None:
    handler = Handler(3, error=Unavailable("away"))
    with pytest.raises(Unavailable):
        await apart(range(5), handler)
    assert handler.calls == 1


async def test_an_item_is_set_aside_after_its_last_try_and_with_a_reason_that_shows_no_inside() -> None:
    aside: list[tuple[int, str]] = []

    async def keep(item: int, reason: str) -> None:
        aside.append((item, reason))

    isolation: Isolation[int] = Isolation("here", keep, tries=3)
    handler = Handler(2, error=ValueError("mongodb://user:secret@host"))
    before = counters.counted(counters.SET_ASIDE, "here")
    assert await isolation.all([1, 2, 3], handler) == [2]
    assert await isolation.all([2], handler) == [2]
    assert aside == []
    assert await isolation.all([2], handler) == []
    ((item, reason),) = aside
    assert (item, "ValueError" in reason, "secret" in reason) == (2, True, False)
    assert counters.counted(counters.SET_ASIDE, "here") == before + 1


async def test_one_that_cannot_even_be_set_aside_is_left_and_the_others_go_on() -> None:
    async def broken(_item: int, _reason: str) -> None:
        raise RuntimeError

    isolation: Isolation[int] = Isolation("there", broken, tries=1)
    handled: list[int] = []

    async def handle(item: int) -> None:
        if item == 1:
            raise TypeError
        handled.append(item)

    assert await isolation.each([0, 1, 2], handle) == []
    assert handled == [0, 2]


def test_failures_are_counted_by_item_and_forgotten_with_the_last_try() -> None:
    tries = Tries(2)
    assert [tries.failed("a"), tries.failed("b"), tries.failed("a"), tries.failed("a")] == [False, False, True, False]


def test_an_error_of_our_own_keeps_its_words() -> None:
    assert reason_of(InvalidInput("the schedule never fires")) == "the schedule never fires"


def test_what_is_only_read_is_passed_over_unless_the_trouble_is_temporary() -> None:
    with passed_over("reading", 1):
        raise ZeroDivisionError
    with pytest.raises(Unavailable), passed_over("reading", 1):
        raise Unavailable("away")


async def test_a_loop_that_fails_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "AGAIN_SECONDS", 0.001)
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 4:
            raise KeyError(rounds)

    async with asyncio.timeout(40):
        await keep_going("loop", loop)
    assert rounds == 4
    assert counters.counted(counters.UNEXPECTED, "loop") >= 3


async def test_a_loop_ends_when_it_is_told_to() -> None:
    task = asyncio.create_task(keep_going("waiting", asyncio.Event().wait))  # type: ignore[arg-type]  # what it returns is nobody's business
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("answers", [[], [1, 2]])
async def test_nobody_waits_for_ever_when_a_batch_has_the_wrong_number_of_answers(answers: list[int]) -> None:
    async def send(_numbers: list[int]) -> list[int]:
        return answers

    batcher: Batcher[int, int] = Batcher(send)
    async with asyncio.timeout(40):
        with pytest.raises(AssertionError):
            await batcher.call(1)


@pytest.mark.parametrize("said", ["half \ud83d", "\udc00", "plain", "图"])
def test_an_error_reaches_its_caller_whatever_it_quotes(said: str) -> None:
    error = InvalidInput(said, field=said, rule=said, number=10**30)
    again = TrawlError.from_bytes(error.to_bytes())
    assert isinstance(again, InvalidInput)
    again.message.encode()


def test_what_is_counted_is_told_by_service_and_place_and_a_zero_is_told_too() -> None:
    stats = runs_pb2.Stats(counters=[runs_pb2.ProcessCounter(name=counters.UNTOLD, place="pull-x", value=3)])
    told = {
        (sample.name, sample.labels["service"], sample.labels["place"]): sample.value
        for metric in StatisticsCollector(Snapshot(stats, None)).collect()
        for sample in metric.samples
        if "place" in sample.labels
    }
    assert told[counters.UNTOLD, "scheduler", "pull-x"] == 3
    assert told[counters.SET_ASIDE, "scheduler", ""] == 0
    assert {name for name, _, _ in told} == set(counters.TEXTS)
