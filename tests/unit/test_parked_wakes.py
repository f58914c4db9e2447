"""Parked runs that are woken before their time, against stores that do nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from chassis.clock import now_ms
from scheduler.mongo_runs import Parked
from scheduler.parked import ParkedRuns
from trawl.scheduler.v1 import runs_pb2 as pb

HOUR_MS = 3_600_000
Start = Callable[[ParkedRuns], None]


class Stores:
    """MongoDB, Redis and NATS for `ParkedRuns`. `stored` is what MongoDB has."""

    def __init__(self, *stored: Parked) -> None:
        self.stored = {run.key: run for run in stored}
        self.released: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def parked(self, until_ms: int) -> list[Parked]:
        return [run for run in self.stored.values() if run.release_ms <= until_ms]

    async def parked_for(self, wake: str, limit: int) -> list[Parked]:
        return [run for run in self.stored.values() if run.wake == wake][:limit]

    async def unpark(self, runs: Sequence[Parked]) -> None:
        for run in runs:
            self.stored.pop(run.key, None)

    async def release(self, run_id: int, _token: int, _now: int) -> str:
        self.meanwhile()
        self.released.append(run_id)
        return "ok"

    async def ready(self, _messages: object) -> None:
        await asyncio.sleep(0)

    async def until(self, count: int) -> list[int]:
        async with asyncio.timeout(30):
            while len(self.released) < count:
                await asyncio.sleep(0.005)
        return sorted(self.released)


def run(run_id: int, *, wake: str = "x", in_ms: int = HOUR_MS, ended_ms: int = 0) -> Parked:
    spec = pb.RunSpec(run_id=run_id, queue="noop").SerializeToString()
    return Parked(run_id, now_ms() + in_ms, run_id, spec, wake, ended_ms)


def parked_in(stores: Stores) -> ParkedRuns:
    return ParkedRuns(stores, stores, stores)  # type: ignore[arg-type]  # stands for all three


@pytest.fixture
async def started() -> AsyncIterator[Start]:
    """Starts the loop of a `ParkedRuns`, and ends it."""
    loops: list[asyncio.Task[None]] = []
    yield lambda parked: loops.append(asyncio.create_task(parked.run()))
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


async def test_only_what_waits_for_it_is_woken_whoever_parked_it(started: Start) -> None:
    held, other = run(1), run(3, wake="y")
    stores = Stores(held, run(2), other)
    parked = parked_in(stores)
    parked.add([held, other])
    started(parked)
    parked.wake("x")
    assert await stores.until(2) == [1, 2]
    assert list(stores.stored) == [other.key]


async def test_a_run_whose_end_comes_after_the_notice_is_not_forgotten(started: Start) -> None:
    stores = Stores()
    parked = parked_in(stores)
    started(parked)
    parked.wake("x")
    parked.add([run(1, ended_ms=now_ms() - 5_000)])
    assert await stores.until(1) == [1]


async def test_an_attempt_that_began_after_the_notice_waits(started: Start) -> None:
    """Else a run at a breaker that is open again would go round and round."""
    stores = Stores()
    parked = parked_in(stores)
    started(parked)
    parked.wake("x")
    parked.add([run(1, ended_ms=now_ms() + 60_000), run(2, in_ms=0)])
    assert await stores.until(1) == [2]


async def test_what_is_parked_while_another_run_is_released_is_released_too(started: Start) -> None:
    stores = Stores()
    parked = parked_in(stores)
    late = [run(2, in_ms=-HOUR_MS)]
    stores.meanwhile = lambda: parked.add([late.pop()] if late else [])
    parked.add([run(1, in_ms=0)])
    started(parked)
    assert await stores.until(2) == [1, 2]
    assert not await stores.parked(HOUR_MS)
