"""The real gateway in a test's loop, between real brokers and fakes of the services, on free loopback ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import nats
import orjson
from chassis.run import Lifetime
from gateway.__main__ import serve
from gateway.ports import Listener, bind
from gateway.settings import GatewaySettings
from wire.subjects import RUN_EVENTS

from gateway_support.fakes import FakeServices

ADMIN_KEY = "test-admin-key-0123456789"
PORTS = ("scheduler", "smartrpa", "management", "xget", "pipeline")


@dataclass(frozen=True)
class Stores:
    """Addresses of the brokers and the database, as settings."""

    nats_url: str
    redis_url: str
    mongodb_uri: str
    mongodb_prefix: str


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

    def __init__(
        self, ports: dict[str, int], services: FakeServices, session: aiohttp.ClientSession, life: Lifetime
    ) -> None:
        self.ports, self.services, self._session, self._life = ports, services, session, life
        self.scheduler = services.scheduler

    def stop(self) -> None:
        """Tell the gateway to stop, as a signal would."""
        self._life.stopping.set()

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
async def running_gateway(stores: Stores, **changes: Any) -> AsyncIterator[Gateway]:
    """The real gateway on five free ports, before fakes of the services."""
    services = FakeServices()
    await services.server.start()
    sockets = {name: bind(Listener(name, "", "127.0.0.1", 0)) for name in PORTS}
    ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
    values: dict[str, Any] = {
        **asdict(stores),
        "scheduler_target": services.target,
        "scraper_target": services.target,
        "registry_target": services.target,
        "trawl_api_key": ADMIN_KEY,
        **changes,
    }
    settings = GatewaySettings(**values)
    nc = await nats.connect(stores.nats_url)
    services.scheduler.publish = lambda data: nc.publish(RUN_EVENTS, data)
    life = Lifetime()
    serving = asyncio.create_task(serve(settings, sockets, life))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        gateway = Gateway(ports, services, session, life)
        try:
            yield gateway
        finally:
            life.stopping.set()
            await asyncio.wait_for(serving, 40)
            await life.cancel_all()
    await nc.close()
    await services.server.stop(0)
