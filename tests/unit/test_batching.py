"""Batches of concurrent calls."""

import asyncio

import pytest
from chassis.batching import Batcher
from chassis.errors import Exhausted


async def test_concurrent_calls_share_batches_and_get_their_own_answers() -> None:
    batches: list[list[int]] = []

    async def double(numbers: list[int]) -> list[int]:
        batches.append(numbers)
        await asyncio.sleep(0.001)
        return [2 * number for number in numbers]

    batcher: Batcher[int, int] = Batcher(double, max_in_flight=1)
    answers = await asyncio.gather(*(batcher.call(number) for number in range(100)))
    assert answers == [2 * number for number in range(100)]
    assert len(batches) < 10


async def test_no_call_is_forgotten_when_it_comes_as_a_batch_ends() -> None:
    """A call made in the very turn in which the last task has ended still gets an answer."""

    async def echo(numbers: list[int]) -> list[int]:
        return numbers

    batcher: Batcher[int, int] = Batcher(echo, max_in_flight=1)

    async def chain(count: int) -> int:
        total = 0
        for number in range(count):
            total += await batcher.call(number)
            if number % 3 == 0:
                await asyncio.sleep(0)
        return total

    async with asyncio.timeout(40):
        totals = await asyncio.gather(*(chain(200) for _ in range(7)))
    assert totals == [sum(range(200))] * 7


async def test_a_failed_batch_fails_its_callers_only() -> None:
    async def refuse_odd(numbers: list[int]) -> list[int | Exception]:
        if 13 in numbers:
            raise ConnectionError("gone")
        return [ValueError(str(number)) if number % 2 else number for number in numbers]

    batcher: Batcher[int, int] = Batcher(refuse_odd)
    odd, even = await asyncio.gather(batcher.call(1), batcher.call(2), return_exceptions=True)
    assert isinstance(odd, ValueError)
    assert even == 2
    with pytest.raises(ConnectionError):
        await batcher.call(13)
    assert await batcher.call(4) == 4


async def test_one_call_too_many_is_refused() -> None:
    release, under_way = asyncio.Event(), asyncio.Event()

    async def wait(numbers: list[int]) -> list[int]:
        under_way.set()
        await release.wait()
        return numbers

    batcher: Batcher[int, int] = Batcher(wait, max_in_flight=1, max_batch=1, max_waiting=2)
    calls = [asyncio.create_task(batcher.call(0))]
    while not under_way.is_set():
        await asyncio.sleep(0)
    calls += [asyncio.create_task(batcher.call(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted):
        await batcher.call(9)
    release.set()
    assert await asyncio.gather(*calls) == [0, 1, 2]
