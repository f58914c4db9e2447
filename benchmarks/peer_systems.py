"""The peers as systems to be measured: each a FastAPI gateway, a worker with a no-op task, Redis for broker or results.

Owns how each is started and how its results are read. A task's result is the time of its request and of its own start.
"""

import asyncio
import contextlib
import json
import pickle
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio

from benchmarks.errors import BenchmarkError
from benchmarks.load import Target
from benchmarks.machine import HOST, find_program, free_port, plain_environment
from benchmarks.peer_environment import SOURCES, peer_python
from benchmarks.programs import Programs, programs_in
from benchmarks.systems import SETTLE_SECONDS, Outcome
from benchmarks.trawl_system import session
from benchmarks.usage import Meter, Tree

POLL_SECONDS = 0.1
CHUNK = 1_000
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer. `decode` reads a stored result: None when the task did not succeed."""

    name: str
    module: str
    # After the virtual environment's `bin` folder.
    worker: Sequence[str]
    results: str
    decode: Callable[[Any], Pair | None]
    requirements: str = "requirements.txt"
    results_database: int = 1
    results_are_lists: bool = False
    needs_nats: bool = False

    @contextlib.asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator["PeerLive"]:
        """As `System.running`."""
        binaries = (await peer_python(self.requirements)).parent
        redis_port, gateway_port = free_port(), free_port()
        environment = plain_environment() | {"PYTHONPATH": str(SOURCES), "REDIS_PORT": str(redis_port)}
        async with programs_in(directory, environment) as programs:
            await _start_redis(programs, redis_port)
            more = {"NATS_PORT": str(await _start_nats(programs))} if self.needs_nats else {}
            await programs.start(
                "gateway", [str(binaries / "python"), "-m", "uvicorn", f"{self.module}:gateway", "--host", HOST,
                            "--port", str(gateway_port), "--loop", "uvloop", "--http", "httptools",
                            "--log-level", "warning", "--no-access-log"], **more,
            )  # fmt: skip
            await programs.start("worker", [str(binaries / self.worker[0]), *self.worker[1:]], **more)
            await programs.until_listening("gateway", gateway_port)
            meter = Meter([Tree(process.pid, name) for name, process in programs.started.items()])
            store = redis.asyncio.Redis(host=HOST, port=redis_port, db=self.results_database)
            try:
                live = PeerLive(self, f"http://{HOST}:{gateway_port}", directory, meter, store)
                await live.until_working()
                yield live
                programs.check_alive()
            finally:
                await store.aclose()


async def _start_redis(programs: Programs, port: int) -> None:
    # Celery and the like are commonly run on a Redis that keeps nothing: that is to their favour here.
    await programs.start(
        "redis", [find_program("redis-server", "redis-server"), "--port", str(port), "--bind", HOST, "--save", "",
                  "--appendonly", "no", "--dir", str(programs.directory)],
    )  # fmt: skip
    await programs.until_listening("redis", port)


async def _start_nats(programs: Programs) -> int:
    port = free_port()
    store = programs.directory / "jetstream"
    await programs.start(
        "nats", [find_program("nats-server", "nats-server"), "-a", HOST, "-p", str(port), "-js", "-sd", str(store)]
    )
    await programs.until_listening("nats", port)
    return port


@dataclass(slots=True)
class PeerLive:
    """A peer that is up."""

    peer: Peer
    base: str
    directory: Path
    meter: Meter
    store: redis.asyncio.Redis

    async def begin(self) -> "PeerMeasurement":
        """Start a measurement: earlier results are thrown away."""
        await self.store.flushdb()
        target = Target(f"{self.base}/tasks", '{"t": %s}', {})
        return PeerMeasurement(self, target, earlier=await self.accepted())

    async def accepted(self) -> int:
        """How many tasks the gateway has accepted."""
        async with session() as client, client.get(f"{self.base}/accepted") as response:
            return int((await response.json())["accepted"])

    async def until_working(self) -> None:
        """Return when a task that was submitted has been done."""
        measurement = await self.begin()
        async with session() as client:
            await measurement.submit(client)
        await measurement.settle()

    async def keys(self) -> list[bytes]:
        """The keys of all stored results."""
        return [key async for key in self.store.scan_iter(match=self.peer.results, count=CHUNK)]

    async def pairs(self) -> list[Pair | None]:
        """All stored results."""
        keys = await self.keys()
        found: list[Pair | None] = []
        for first in range(0, len(keys), CHUNK):
            part = keys[first : first + CHUNK]
            if self.peer.results_are_lists:
                pipeline = self.store.pipeline()
                for key in part:
                    pipeline.lindex(key, 0)
                values = await pipeline.execute()
            else:
                values = await self.store.mget(part)
            found += [self.peer.decode(value) for value in values]
        return found


@dataclass(slots=True)
class PeerMeasurement:
    """What was accepted since it began. Counts stored results."""

    live: PeerLive
    target: Target
    earlier: int

    async def submit(self, client: aiohttp.ClientSession) -> None:
        """Submit one task."""
        body = self.target.payload(time.time())
        async with client.post(self.target.url, data=body, headers={"Content-Type": "application/json"}) as response:
            if response.status != 202:
                raise BenchmarkError(f"A task was refused with {response.status}: {await response.text()}")
            await response.read()

    async def settle(self, *, with_pairs: bool = False) -> Outcome:
        """As `Measurement.settle`. The last start stands for the last end, to the peer's favour."""
        deadline = time.monotonic() + SETTLE_SECONDS
        # The gateway may still be at requests whose client has left: both numbers are read until they agree.
        accepted, stored = 0, -1
        while stored != accepted:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{accepted} tasks were accepted, and {stored} done in time.")
            await asyncio.sleep(POLL_SECONDS)
            accepted = await self.live.accepted() - self.earlier
            if await self.live.store.dbsize() >= accepted:
                stored = len(await self.live.keys())
        pairs = await self.live.pairs()
        good = [pair for pair in pairs if pair is not None]
        if len(good) != len(pairs):
            raise BenchmarkError(f"{len(pairs) - len(good)} tasks failed.")
        return Outcome(accepted, len(good), max(started for _, started in good), good if with_pairs else ())


def _pair(value: Any) -> Pair:
    submitted, started = value
    return float(submitted), float(started)


def _celery(raw: bytes) -> Pair | None:
    result = json.loads(raw)
    return _pair(result["result"]) if result["status"] == "SUCCESS" else None


def _taskiq(raw: bytes) -> Pair | None:
    result = pickle.loads(raw)
    # The environment with taskiq is another one: here its result is read as what it is made of.
    return None if result["is_err"] else _pair(result["return_value"])


def _dramatiq(raw: bytes) -> Pair | None:
    result = json.loads(raw)
    if isinstance(result, dict):
        return _pair(result["result"]) if "result" in result else None
    return _pair(result)


def _arq(raw: bytes) -> Pair | None:
    result = pickle.loads(raw)
    return _pair(result["r"]) if result["s"] else None


PEERS = {
    "celery": Peer(
        "Celery", "celery_peer",
        ("celery", "-A", "celery_peer", "worker", "-P", "prefork", "-c", "1", "-l", "WARNING", "--without-gossip",
         "--without-mingle"),
        "celery-task-meta-*", _celery,
    ),
    "taskiq": Peer(
        "taskiq", "taskiq_peer",
        ("taskiq", "worker", "taskiq_peer:broker", "--workers", "1", "--max-async-tasks", "100", "--log-level",
         "WARNING"),
        "taskiq:*", _taskiq, needs_nats=True,
    ),
    "dramatiq": Peer(
        "dramatiq", "dramatiq_peer", ("dramatiq", "dramatiq_peer", "--processes", "2", "--threads", "8"),
        "dramatiq-results:*", _dramatiq, results_are_lists=True,
    ),
    "arq": Peer(
        "arq", "arq_peer", ("arq", "arq_peer.WorkerSettings"), "arq:result:*", _arq,
        requirements="requirements-arq.txt", results_database=0,
    ),
}  # fmt: skip
DEFAULT_PEERS = ("celery", "taskiq")
