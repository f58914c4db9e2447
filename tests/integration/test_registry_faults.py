"""The worker registry when what it needs is killed, lost or late. Nobody is lost because this side was deaf."""

import asyncio
import contextlib
from typing import Any

import pytest
import redis
import stores
from chassis.errors import Unavailable

Registry = Any
StartRegistry = Any
# Workers are lost after three of these without a heartbeat. The living ones have the longer one: theirs come late when
# the machine has other things to do.
SHORT_MS, LIVING_MS = 250, 1_000
DEAF_SECONDS = 3.3  # more than three of the longer ones


async def test_kill_9_of_redis_loses_no_living_worker_and_finds_the_dead_one_after_it_is_back(
    registry: Registry, redis_server: stores.Store
) -> None:
    """Longer than three intervals without Redis: the living worker is never told lost, the dead one is, afterwards."""
    await registry.register("alive", interval_ms=LIVING_MS)
    async with registry.beating(("alive", "s1")):
        await registry.register("dead", interval_ms=SHORT_MS)
        await registry.beat("dead")
        await asyncio.to_thread(redis_server.kill)
        with pytest.raises(Unavailable):
            await registry.beat("alive")

        async def not_serving() -> bool:
            return not await registry.serving()

        await registry.until(not_serving)
        await asyncio.sleep(DEAF_SECONDS)
        await asyncio.to_thread(redis_server.start)
        await registry.until(registry.serving)
        await registry.published("lost", "dead")
        assert (await registry.get("alive")).status == "active"
    assert [kind for kind in await registry.kinds() if kind[1] == "alive"] == [("registered", "alive", "s1")]
    assert registry.program.running


async def test_loss_of_all_of_redis_is_rebuilt_from_mongodb_and_the_next_heartbeats(
    registry: Registry, redis_server: stores.Store
) -> None:
    """Sessions that MongoDB knows are accepted, what operators want is still there, the dead are found."""
    await registry.register("alive", interval_ms=LIVING_MS)
    async with registry.beating(("alive", "s1")):
        await registry.register("dead", interval_ms=SHORT_MS)
        await registry.update("alive", status="draining")
        await asyncio.to_thread(redis_server.wipe)
        await registry.until(registry.serving)
        answer = await registry.beat("alive")
        assert (answer.status, answer.unknown) == ("draining", False)
        await registry.published("lost", "dead")
        assert (await registry.get("alive")).status == "draining"
    assert ("lost", "alive", "s1") not in await registry.kinds()


async def test_lost_is_published_after_nats_was_away_and_the_registry_was_killed_meanwhile(
    registry: Registry, start_registry: StartRegistry, nats_server: stores.Store, redis_url: str
) -> None:
    """The fact waits in Redis from the moment it is one: neither kill -9 loses it, nor makes two of it."""
    await registry.register("w", "old")
    await registry.published("registered", "w", "old")
    await asyncio.to_thread(nats_server.kill)
    assert (await registry.register("w", "new")).session == "new"
    with redis.Redis.from_url(redis_url) as keys:
        assert keys.llen("{registry}:outbox") == 2
    registry.program.kill()
    await asyncio.to_thread(nats_server.start)
    other = await start_registry()
    await other.published("registered", "w", "new", seconds=40)
    assert await other.kinds() == [("registered", "w", "old"), ("lost", "w", "old"), ("registered", "w", "new")]


async def test_a_nats_that_lost_its_streams_gets_them_again(registry: Registry, nats_server: stores.Store) -> None:
    """Publishing goes on after the broker comes back empty."""
    await asyncio.to_thread(nats_server.wipe)
    await registry.register("w")
    await registry.published("registered", "w", seconds=40)


async def test_nobody_is_lost_because_the_registry_was_down(start_registry: StartRegistry) -> None:
    """kill -9, longer away than three intervals, and the workers get the full time again; then silence counts."""
    first = await start_registry()
    await first.register("alive", interval_ms=LIVING_MS)
    await first.register("dead", interval_ms=LIVING_MS)
    first.program.kill()
    await asyncio.sleep(DEAF_SECONDS)
    second = await start_registry()
    assert (await second.get("alive")).status == "active"
    async with second.beating(("alive", "s1")):
        await second.published("lost", "dead")
        assert (await second.get("alive")).status == "active"
    assert ("lost", "alive", "s1") not in await second.kinds()


async def test_nobody_is_lost_because_the_registry_was_frozen(registry: Registry) -> None:
    """A process that was stopped and goes on does not take its own absence for theirs."""
    await registry.register("alive", interval_ms=LIVING_MS)
    registry.program.pause()
    await asyncio.sleep(DEAF_SECONDS)
    registry.program.resume()
    async with registry.beating(("alive", "s1")):
        await registry.register("dead", interval_ms=SHORT_MS)
        await registry.published("lost", "dead")
    assert ("lost", "alive", "s1") not in await registry.kinds()


async def test_it_starts_before_anything_else_and_serves_once_all_is_there(
    start_registry: StartRegistry,
    nats_server: stores.Store,
    redis_server: stores.Store,
    mongodb_server: stores.Store,
) -> None:
    """NOT_SERVING and UNAVAILABLE until then, with a log line that names what is missing; no restart is needed."""
    servers = [nats_server, redis_server, mongodb_server]
    for server in servers:
        await asyncio.to_thread(server.kill)
    try:
        registry = await start_registry(ready=False, MONGODB_URI=mongodb_server.url)
        assert not await registry.serving()
        with pytest.raises(Unavailable):
            await registry.beat("w")
        with pytest.raises(Unavailable):
            await registry.register("w")
        for server in servers:
            await asyncio.to_thread(server.start)
    finally:
        for server in servers:
            with contextlib.suppress(RuntimeError):
                if not server.running:
                    server.start()
    await registry.until(registry.serving, 60)
    await registry.register("w")
    await registry.published("registered", "w")
    log = registry.program.log.read_text()
    for name in ("NATS", "Redis", "MongoDB"):
        assert f'"dependency":"{name}"' in log


async def test_sigterm_ends_it_at_once_even_without_its_stores(
    registry: Registry, nats_server: stores.Store, redis_server: stores.Store
) -> None:
    """A graceful stop waits for nobody who is away."""
    await asyncio.to_thread(nats_server.kill)
    await asyncio.to_thread(redis_server.kill)
    process = registry.program.process
    async with asyncio.timeout(20):
        await asyncio.to_thread(registry.program.stop)
    assert process is not None
    assert process.returncode == 0
