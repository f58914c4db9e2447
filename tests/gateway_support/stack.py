"""Brokers, fakes and the gateway as processes and tasks of one test session. Everything listens on free loopback ports."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import nats
import orjson
from chassis.run import Lifetime
from gateway.__main__ import serve
from gateway.apps import listeners
from gateway.ports import bind
from gateway.settings import GatewaySettings
from wire.subjects import RUN_EVENTS

from gateway_support.fakes import FakeServices

ADMIN_KEY = "test-admin-key-0123456789"
PORTS = ("scheduler", "smartrpa", "management", "xget", "pipeline")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """A program's path; a missing one is a failure, never a skip."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    assert path, f"{name} is not installed"
    return path


async def until_open(port: int) -> None:
    """Returns when something listens."""
    async with asyncio.timeout(15):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@dataclass
class Brokers:
    """NATS, Redis and the MongoDB stand-in as child processes."""

    directory: Path
    nats: int = field(default_factory=free_port)
    redis: int = field(default_factory=free_port)
    mongo: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start them; `until_open` waits for them."""
        self._spawn(program("nats-server"), "-a", "127.0.0.1", "-p", str(self.nats))
        self._spawn(
            program("redis-server"), "--bind", "127.0.0.1", "--port", str(self.redis), "--save", "", "--appendonly", "no",
            "--dir", str(self.directory),
        )  # fmt: skip
        (self.directory / "mongo").mkdir()
        self._spawn(
            program("nx-27017"), "--host", "127.0.0.1", "--port", str(self.mongo),
            "--data-dir", str(self.directory / "mongo"),
        )  # fmt: skip

    def _spawn(self, *command: str) -> None:
        with (self.directory / f"{Path(command[0]).name}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def stop(self) -> None:
        """End them."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Gateway:
    """A running gateway and its clients. `call` sends JSON to a contract's port."""

    def __init__(self, ports: dict[str, int], services: FakeServices, session: aiohttp.ClientSession) -> None:
        self.ports, self.services, self._session = ports, services, session
        self.scheduler = services.scheduler

    async def call(
        self,
        method: str,
        path: str,
        *,
        port: str = "scheduler",
        key: str | None = ADMIN_KEY,
        body: Any = None,
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request; `body` is sent as JSON, `data` as it is."""
        sent = dict(headers or {})
        if body is not None:
            data = orjson.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        async with self._session.request(method, url, data=data, headers=sent) as response:
            return Reply(response.status, response.headers, await response.read())


@asynccontextmanager
async def running_gateway(brokers: Brokers, **changes: Any) -> AsyncIterator[Gateway]:
    """The real gateway on five free ports, before fakes of the services."""
    services = FakeServices()
    await services.server.start()
    ports = {name: free_port() for name in PORTS}
    values: dict[str, Any] = {
        "nats_url": f"nats://127.0.0.1:{brokers.nats}",
        "redis_url": f"redis://127.0.0.1:{brokers.redis}/0",
        "mongodb_uri": f"mongodb://127.0.0.1:{brokers.mongo}/?directConnection=true",
        "scheduler_target": services.target,
        "scraper_target": services.target,
        "registry_target": services.target,
        "trawl_api_key": ADMIN_KEY,
        **{f"port_{name}": port for name, port in ports.items()},
        **changes,
    }
    settings = GatewaySettings(**values)
    sockets = {listener.contract: bind(listener) for listener in listeners(settings)}
    nc = await nats.connect(values["nats_url"])
    services.scheduler.publish = lambda data: nc.publish(RUN_EVENTS, data)
    life = Lifetime()
    serving = asyncio.create_task(serve(settings, sockets, life))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        gateway = Gateway(ports, services, session)
        try:
            yield gateway
        finally:
            life.stopping.set()
            await asyncio.wait_for(serving, 15)
            await life.cancel_all()
    await nc.close()
    await services.server.stop(0)
