"""The gateway as a process of its own: how it starts, refuses to start, and stops."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import stores as servers
from gateway_support.stack import Stores

PORT_SETTINGS = ("PORT_SCHEDULER", "PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE")
Start = Callable[..., Any]


def reserve() -> socket.socket:
    """A listening socket on a free port."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken


@asynccontextmanager
async def process(stores: Stores, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    values = {
        "NATS_URL": stores.nats_url,
        "REDIS_URL": stores.redis_url,
        "MONGODB_URI": stores.mongodb_uri,
        "MONGODB_PREFIX": stores.mongodb_prefix,
        "TRAWL_API_KEY": "k",
        **dict.fromkeys(PORT_SETTINGS, "0"),
        **environment,
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=values, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def until_answering(port: int) -> None:
    async with asyncio.timeout(90), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_a_taken_port_is_one_sentence_and_exit_1(stores: Stores) -> None:
    with reserve() as taken:
        port = taken.getsockname()[1]
        async with process(stores, PORT_XGET=str(port)) as gateway:
            _, errors = await asyncio.wait_for(gateway.communicate(), 90)
    assert gateway.returncode == 1
    assert len(errors.decode().strip().splitlines()) == 1
    assert str(port) in errors.decode()
    assert "PORT_XGET" in errors.decode()


@pytest.mark.parametrize(
    ("name", "value"), [("PORT_SCHEDULER", "x"), ("AUTH_REQUIRED", "never"), ("MAX_BODY_BYTES", "-1")]
)
async def test_a_bad_setting_is_named_and_exit_1(stores: Stores, name: str, value: str) -> None:
    async with process(stores, **{name: value}) as gateway:
        _, errors = await asyncio.wait_for(gateway.communicate(), 90)
    assert gateway.returncode == 1
    assert name in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(stores: Stores, number: signal.Signals) -> None:
    port = servers.free_port()
    async with process(stores, PORT_SCHEDULER=str(port)) as gateway:
        await until_answering(port)
        gateway.send_signal(number)
        await asyncio.wait_for(gateway.communicate(), 90)
        assert gateway.returncode == 0


async def test_it_serves_without_anything_behind_it_and_says_what_is_missing(stores: Stores) -> None:
    nothing = Stores(
        "nats://127.0.0.1:1",
        "redis://127.0.0.1:1/0",
        "mongodb://127.0.0.1:1/?directConnection=true",
        stores.mongodb_prefix,
    )
    port = servers.free_port()
    targets = dict.fromkeys(("SCHEDULER_TARGET", "SCRAPER_TARGET", "REGISTRY_TARGET"), "127.0.0.1:1")
    async with process(nothing, PORT_SCHEDULER=str(port), **targets) as gateway:
        await until_answering(port)
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:
            base = f"http://127.0.0.1:{port}"
            async with session.get(f"{base}/api/system/health") as reply:
                data = (await reply.json())["data"]
            assert (reply.status, data["status"]) == (200, "unhealthy")
            assert data["components"]["message_queue"]["status"] == "unhealthy"
            async with session.get(f"{base}/api/tasks") as reply:
                assert (reply.status, (await reply.json())["error"]["code"]) == (503, "TASK_ERROR")
            async with session.get(f"{base}/readyz") as reply:
                assert reply.status == 503
        gateway.send_signal(signal.SIGTERM)
        await asyncio.wait_for(gateway.communicate(), 90)
        assert gateway.returncode == 0
