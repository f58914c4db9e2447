"""Watched endpoints: the registry's probes as the other side and as a reader see them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from chassis.errors import InvalidInput, NotFound
from stores import free_port
from trawl.workerregistry.v1 import endpoints_pb2 as pb
from trawl.workerregistry.v1.endpoints_pb2_grpc import EndpointServiceStub

Registry = Any
StartRegistry = Any
LOOPBACK = "127.0.0.0/8"


class Target:
    """An HTTP server that answers `status`, and holds answers back while `held`."""

    def __init__(self) -> None:
        self.status, self.seen, self.port = 200, 0, 0
        self.location = ""
        self.free = asyncio.Event()
        self.free.set()

    async def handle(self, _request: web.Request) -> web.Response:
        self.seen += 1
        await self.free.wait()
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=self.status, headers=headers)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/health"


@asynccontextmanager
async def listening() -> AsyncIterator[Target]:
    """A target on a free port."""
    target = Target()
    app = web.Application()
    app.router.add_get("/health", target.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    target.port = runner.addresses[0][1]
    try:
        yield target
    finally:
        target.free.set()
        await runner.cleanup()


class Client:
    """Calls of EndpointService on one registry."""

    def __init__(self, registry: Registry) -> None:
        self._client = registry.client
        self._stub: Any = registry.client.stub(EndpointServiceStub)
        self.until = registry.until

    async def add(self, url: str, seconds: float = 1, name: str = "shop") -> pb.Endpoint:
        request = pb.AddEndpointRequest(name=name, url=url, interval_ms=int(seconds * 1000))
        return await self._client.call(self._stub.AddEndpoint, request)

    async def get(self, endpoint_id: str) -> pb.Endpoint:
        return await self._client.call(self._stub.GetEndpoint, pb.GetEndpointRequest(id=endpoint_id))

    async def remove(self, endpoint_id: str) -> None:
        await self._client.call(self._stub.RemoveEndpoint, pb.RemoveEndpointRequest(id=endpoint_id))

    async def listed(self, **query: Any) -> pb.ListEndpointsResponse:
        return await self._client.call(self._stub.ListEndpoints, pb.ListEndpointsRequest(**{"limit": 100, **query}))

    async def until_status(self, endpoint_id: str, status: str) -> pb.Endpoint:
        async def there() -> bool:
            return (await self.get(endpoint_id)).status == status

        await self.until(there)
        return await self.get(endpoint_id)


async def test_an_endpoint_is_probed_at_once_and_then_at_its_interval_with_latency_and_share(
    start_registry: StartRegistry,
) -> None:
    client = Client(await start_registry(ALLOWED_ADDRESSES=LOOPBACK))
    async with listening() as target:
        added = await client.add(target.url)
        assert (added.status, added.probes, added.name) == ("unknown", 0, "shop")
        seen = await client.until_status(added.id, "healthy")
        assert seen.http_status == 200
        assert 0 < seen.latency_ms < 10_000
        target.status = 503
        seen = await client.until_status(added.id, "unhealthy")
        assert (seen.last_error, seen.http_status) == ("HTTP 503", 503)
        target.status = 200
        seen = await client.until_status(added.id, "healthy")
        assert seen.last_error == "HTTP 503"
        assert seen.probes <= target.seen <= seen.probes + 1  # the next one may be under way
        assert seen.healthy_probes == len([p for p in seen.history if p.healthy])
        assert 0 < seen.healthy_probes < seen.probes
        assert [probe.time_ms for probe in seen.history] == sorted((p.time_ms for p in seen.history), reverse=True)
        await client.remove(added.id)
        with pytest.raises(NotFound):
            await client.remove(added.id)
        assert (await client.listed()).total == 0


async def test_of_several_registries_one_makes_each_probe(start_registry: StartRegistry) -> None:
    """Times between probes are never shorter than the interval, less what a claim may come late."""
    first, second = [Client(await start_registry(ALLOWED_ADDRESSES=LOOPBACK)) for _ in range(2)]
    async with listening() as target:
        added = await first.add(target.url)

        async def probed() -> bool:
            return (await second.get(added.id)).probes >= 3

        await second.until(probed)
        seen = await first.get(added.id)
        await first.remove(added.id)
        assert seen.probes <= target.seen <= seen.probes + 1
        times = [probe.time_ms for probe in reversed(seen.history)]
        due = [added.created_ms + 1000 * number for number in range(len(times))]
        assert all(time >= at - 5 for time, at in zip(times, due, strict=True))


async def test_what_can_not_be_reached_or_may_not_be_called_says_why(start_registry: StartRegistry) -> None:
    client = Client(await start_registry(ALLOWED_ADDRESSES="127.0.0.1/32", PROBE_TIMEOUT_SECONDS=2))
    async with listening() as target, listening() as slow:
        slow.free.clear()
        target.status, target.location = 302, "http://127.0.0.2:9/"
        wanted = {
            f"http://127.0.0.1:{free_port()}/": "Cannot connect",
            slow.url: "no answer within 2 s",
            target.url: "private or reserved",
            "http://nobody.invalid/": "nobody.invalid",
        }
        for url, why in wanted.items():
            seen = await client.until_status((await client.add(url, 60)).id, "unhealthy")
            assert why in seen.last_error
            assert (seen.http_status, seen.latency_ms) == (0, -1)


REFUSED = [
    ("ftp://example.com/", 1, "x", "url"),
    ("http://10.0.0.1/", 1, "x", "url"),
    ("http://[::ffff:10.0.0.1]/", 1, "x", "url"),
    ("http://0x7f.1/", 1, "x", "url"),
    ("http://user:secret@example.com/", 1, "x", "url"),
    ("http://example.com/" + "x" * 3_000, 1, "x", "url"),
    ("http://example.com/", 0.5, "x", "intervalSeconds"),
    ("http://example.com/", 86_401, "x", "intervalSeconds"),
    ("http://example.com/", 1, " ", "name"),
]


async def test_what_can_not_be_watched_is_refused_with_the_field(start_registry: StartRegistry) -> None:
    """With the defaults nothing private may be called."""
    client = Client(await start_registry())
    for url, seconds, name, field in REFUSED:
        with pytest.raises(InvalidInput) as caught:
            await client.add(url, seconds, name)
        assert caught.value.field == field, url


async def test_endpoints_and_what_was_found_survive_a_restart(start_registry: StartRegistry) -> None:
    registry = await start_registry(ALLOWED_ADDRESSES=LOOPBACK)
    async with listening() as target:
        added = await Client(registry).add(target.url, 3_600)
        before = await Client(registry).until_status(added.id, "healthy")
        await asyncio.to_thread(registry.program.kill)
        after = await Client(await start_registry(ALLOWED_ADDRESSES=LOOPBACK)).get(added.id)
        assert after == before
