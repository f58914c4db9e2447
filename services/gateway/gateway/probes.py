"""Whether what the gateway needs can be reached. Owns: a check for each component, with its time. Knows no contract."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import redis.asyncio as aioredis
from chassis.errors import TrawlError, Unavailable
from chassis.events import NATS_DOWN, Events
from chassis.grpc_client import GrpcClient
from chassis.stores import redis_errors
from grpc_health.v1 import health_pb2, health_pb2_grpc

CHECK_SECONDS = 2.0
# Answers are shared for this long, so that asking often costs the components nothing.
SHARED_SECONDS = 1.0
Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Health:
    """One component's answer. `seconds`: how long it took. `error` is empty when it is well."""

    seconds: float
    error: str = ""

    @property
    def healthy(self) -> bool:
        """Whether it can be used."""
        return not self.error


class Probes:
    """`checks` by component name; a check raises a `TrawlError` when the component can't be used."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._running: dict[str, asyncio.Task[Health]] = {}
        self._started: dict[str, float] = {}

    async def check(self, names: Sequence[str] | None = None) -> dict[str, Health]:
        """The health of the named components, or of all."""
        wanted = list(names if names is not None else self._checks)
        healths = await asyncio.gather(*(self._shared(name) for name in wanted))
        return dict(zip(wanted, healths, strict=True))

    def _shared(self, name: str) -> Awaitable[Health]:
        now = time.monotonic()
        running = self._running.get(name)
        # One under way ends by itself within its time limit.
        if running is None or (running.done() and now - self._started[name] > SHARED_SECONDS):
            self._running[name] = asyncio.create_task(_timed(self._checks[name]))
            self._started[name] = now
        return asyncio.shield(self._running[name])


async def _timed(check: Check) -> Health:
    started = time.perf_counter()
    error = ""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TrawlError as failure:
        error = failure.message
    except TimeoutError:
        error = f"no answer within {CHECK_SECONDS:g} s"
    return Health(round(time.perf_counter() - started, 6), error)


def grpc_check(client: GrpcClient) -> Check:
    """Asks the service's standard health service."""
    stub = health_pb2_grpc.HealthStub(client.channel)

    async def check() -> None:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{client.name} is unavailable", dependency=client.name) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"{client.name} is not serving", dependency=client.name)

    return check


def nats_check(events: Events) -> Check:
    """A round trip to NATS."""

    async def check() -> None:
        if not events.connected:
            raise Unavailable("NATS is unavailable", dependency="nats")
        try:
            await events.nc.flush(timeout=2)
        except NATS_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error

    return check


def redis_check(redis: aioredis.Redis) -> Check:
    """A round trip to Redis."""

    async def check() -> None:
        with redis_errors():
            await redis.ping()

    return check
