"""Budgets of outside services, shared through a real Redis."""

import asyncio
import time

import pytest
import redis.asyncio as aioredis
import stores
from scraper.redis_rates import Budget, Rates, TooLong

BUDGET = Budget("a-source", 0.05)


async def test_callers_of_several_workers_start_one_after_the_other(redis_url: str) -> None:
    clients = [aioredis.Redis.from_url(redis_url) for _ in range(2)]
    workers = [Rates(client, patience_seconds=30) for client in clients]
    began = time.monotonic()
    await asyncio.gather(*(workers[index % 2].turn(BUDGET) for index in range(11)))
    assert time.monotonic() - began >= 10 * BUDGET.interval_seconds * 0.9
    for client in clients:
        await client.aclose()


async def test_a_pause_holds_back_also_those_who_wait_already(redis_url: str) -> None:
    client = aioredis.Redis.from_url(redis_url)
    rates, slow = Rates(client, patience_seconds=30), Budget("slow", 1)
    await rates.turn(slow)
    began = time.monotonic()
    waiting = asyncio.create_task(rates.turn(slow))
    await asyncio.sleep(0.01)
    await rates.pause(slow, 2)
    await rates.pause(slow, 0.1)  # a shorter pause changes nothing
    await waiting
    assert time.monotonic() - began >= 1.95
    await client.aclose()


async def test_a_wait_beyond_the_patience_takes_no_place_in_the_line(redis_url: str) -> None:
    client = aioredis.Redis.from_url(redis_url)
    rates, slow = Rates(client, patience_seconds=1), Budget("slow", 60)
    await rates.turn(slow)
    for _ in range(3):
        with pytest.raises(TooLong) as caught:
            await rates.turn(slow)
        assert 50_000 < caught.value.resume_at_ms - time.time() * 1000 <= 60_500
    await rates.turn(Budget("another", 60))
    await client.aclose()


async def test_while_redis_is_away_callers_wait_and_then_go_on(redis_url: str, redis_server: stores.Store) -> None:
    client = aioredis.Redis.from_url(redis_url)
    rates = Rates(client, patience_seconds=30)
    await rates.turn(BUDGET)
    redis_server.kill()
    waiting = asyncio.create_task(rates.turn(BUDGET))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await asyncio.to_thread(redis_server.start)
    async with asyncio.timeout(30):
        await waiting
    await client.aclose()
