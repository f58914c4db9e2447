"""The worker registry as a process, as its callers and listeners see it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import nats
import pytest
import stores
from chassis.errors import TrawlError
from chassis.events import NATS_DOWN
from chassis.grpc_client import GrpcClient
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.js.errors import NotFoundError
from trawl.workerregistry.v1 import workers_pb2 as pb
from trawl.workerregistry.v1.events_pb2 import WorkerEvent
from trawl.workerregistry.v1.workers_pb2_grpc import WorkerServiceStub
from wire.subjects import EVENTS_STREAM, WORKER_EVENTS

# Three of the short ones without a heartbeat, and a worker is lost: for those that a test wants to see lost.
SHORT_MS, LONG_MS = 250, 60_000


class Registry:
    """A registry process and a client of it. `interval_ms` is what `register` asks for unless it is told."""

    def __init__(self, program: stores.Program, nats_url: str) -> None:
        self.program, self.target, self._nats_url = program, f"127.0.0.1:{program.port}", nats_url
        self.client = GrpcClient("worker-registry", self.target)
        self.stub = self.client.stub(WorkerServiceStub)
        self.interval_ms = LONG_MS

    async def register(
        self, worker_id: str = "", session: str = "s1", interval_ms: int = 0, **more: object
    ) -> pb.Worker:
        fields = {"hostname": "host-a", "ip_address": "127.0.0.1", "port": 9, "task_types": ["http"]} | more
        worker = pb.Worker(id=worker_id, session=session, **fields)
        request = pb.RegisterRequest(worker=worker, heartbeat_interval_ms=interval_ms or self.interval_ms)
        return await self.client.call(self.stub.Register, request)

    async def beat(self, worker_id: str, session: str = "s1", **more: object) -> pb.HeartbeatResponse:
        return await self.client.call(self.stub.Heartbeat, pb.HeartbeatRequest(id=worker_id, session=session, **more))

    async def get(self, worker_id: str) -> pb.Worker:
        return await self.client.call(self.stub.GetWorker, pb.GetWorkerRequest(id=worker_id))

    async def listed(self, **query: object) -> pb.ListWorkersResponse:
        return await self.client.call(self.stub.ListWorkers, pb.ListWorkersRequest(**query))

    async def update(self, worker_id: str, **fields: object) -> pb.Worker:
        request = pb.UpdateWorkerRequest(id=worker_id, worker=pb.Worker(**fields), fields=list(fields))
        return await self.client.call(self.stub.UpdateWorker, request)

    async def deregister(self, worker_id: str, session: str = "") -> None:
        await self.client.call(self.stub.Deregister, pb.DeregisterRequest(id=worker_id, session=session))

    async def serving(self) -> bool:
        stub = self.client.stub(health_pb2_grpc.HealthStub)
        answer = await self.client.call(stub.Check, health_pb2.HealthCheckRequest())
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def events(self) -> list[WorkerEvent]:
        """Everything that was published, in order."""
        client = await nats.connect(self._nats_url, connect_timeout=2)
        try:
            js, found = client.jetstream(), []
            try:
                state = (await js.stream_info(EVENTS_STREAM)).state
            except NotFoundError:
                return []
            for sequence in range(state.first_seq, state.last_seq + 1):
                message = await js.get_msg(EVENTS_STREAM, sequence)
                assert message.subject == WORKER_EVENTS
                found.append(WorkerEvent.FromString(message.data))
            return found
        finally:
            await client.close()

    async def kinds(self) -> list[tuple[str, str, str]]:
        """(kind, id, session) of everything that was published."""
        return [(event.kind, event.worker_id, event.worker_session) for event in await self.events()]

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 40.0) -> None:
        """Wait for a condition; one that can't be looked at now does not hold."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(*NATS_DOWN):
                    if await condition():
                        return
                await asyncio.sleep(0.02)

    async def published(self, kind: str, worker_id: str, session: str = "s1", seconds: float = 40.0) -> None:
        """Wait until that was published."""

        async def there() -> bool:
            return (kind, worker_id, session) in await self.kinds()

        await self.until(there, seconds)

    @contextlib.asynccontextmanager
    async def beating(self, *workers: tuple[str, str]) -> AsyncIterator[None]:
        """Heartbeats of (id, session), in the background; a registry that is away is borne."""

        async def beats(worker_id: str, session: str) -> None:
            while True:
                with contextlib.suppress(TrawlError):
                    request = pb.HeartbeatRequest(id=worker_id, session=session)
                    await self.client.call(self.stub.Heartbeat, request, timeout=2, wait=False)
                await asyncio.sleep(SHORT_MS / 1000)

        tasks = [asyncio.create_task(beats(*worker)) for worker in workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


StartRegistry = Callable[..., Awaitable[Registry]]


@pytest.fixture
def registry_programs() -> Iterator[list[stores.Program]]:
    """What is ended after the test."""
    programs: list[stores.Program] = []
    yield programs
    for program in programs:
        program.kill()


@pytest.fixture
async def start_registry(
    registry_programs: list[stores.Program], settings_env: stores.SettingsEnv, tmp_path: Path
) -> AsyncIterator[StartRegistry]:
    """Start a replica: `await start_registry()`. It serves when that returns, unless `ready=False`."""
    started: list[Registry] = []

    async def start(*, ready: bool = True, **env: object) -> Registry:
        port = stores.free_port()
        settings = settings_env(GRPC_PORT=port, SHORTEST_HEARTBEAT_MS=100, **env)
        program = stores.service("worker_registry", tmp_path / "registry", settings, port)
        registry_programs.append(program)
        await asyncio.to_thread(program.start)
        registry = Registry(program, settings["NATS_URL"])
        started.append(registry)
        if ready:
            await registry.until(registry.serving, 40)
        return registry

    yield start
    for registry in started:
        await registry.client.close()


@pytest.fixture
async def registry(start_registry: StartRegistry) -> Registry:
    """One replica that serves."""
    return await start_registry()
