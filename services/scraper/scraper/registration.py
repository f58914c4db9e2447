"""The scraper as a registered worker. Owns: registering, heartbeats, leaving. Must not know how runs are done.

Nothing here fails because the registry is away: it is said once in the log, and tried again until it is back.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psutil
from chassis.errors import TrawlError, Unavailable
from chassis.grpc_client import Backoff, GrpcClient
from chassis.logs import get_logger
from trawl.workerregistry.v1 import workers_pb2 as pb
from trawl.workerregistry.v1.workers_pb2_grpc import WorkerServiceStub

log = get_logger("registration")
HEARTBEAT_SECONDS = 5.0
CALL_SECONDS = 5.0
LEAVE_SECONDS = 2.0
# After the first failure; from then on longer and longer, up to the interval.
FIRST_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Identity:
    """What the registry is told of this process. `session` differs between any two processes."""

    session: str
    hostname: str
    task_types: tuple[str, ...]
    slots: int
    # Empty: the registry makes one.
    worker_id: str = ""
    ip_address: str = ""
    port: int = 0
    metadata_json: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process and its descendants use."""

    memory_mb: int
    # Percent of one core since the measurement before.
    cpu_percent: float


@dataclass
class Meter:
    """Measures this process's tree. Blocks for some milliseconds: call it in a thread."""

    _at: float = 0.0
    # CPU seconds of each process, by id and start time, because ids are used again.
    _seconds: dict[tuple[int, float], float] = field(default_factory=dict)

    def measure(self) -> Usage:
        """Use since the last call; the first call has no CPU figure."""
        own = psutil.Process()
        memory, seconds = 0, dict[tuple[int, float], float]()
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error), process.oneshot():  # it may end while it is looked at
                times = process.cpu_times()
                seconds[process.pid, process.create_time()] = times.user + times.system
                memory += process.memory_info().rss
        now = time.monotonic()
        used = sum(value - self._seconds.get(key, 0.0) for key, value in seconds.items())
        percent = 100 * used / (now - self._at) if self._at else 0.0
        self._at, self._seconds = now, seconds
        return Usage(memory // 1024**2, round(max(percent, 0.0), 1))


class Registration:
    """`occupancy` answers the runs being done; `on_status` is called with active, draining or offline whenever that
    changes (a worker begins as active). What `on_status` raises ends `run`.
    """

    def __init__(
        self,
        client: GrpcClient,
        identity: Identity,
        *,
        occupancy: Callable[[], Sequence[int]],
        on_status: Callable[[str], Awaitable[None]],
        interval_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._client, self._identity = client, identity
        self._stub = client.stub(WorkerServiceStub)
        self._occupancy, self._on_status = occupancy, on_status
        self._interval_seconds = interval_seconds
        self._call_seconds = min(CALL_SECONDS, max(1.0, interval_seconds))
        self._meter = Meter()
        self._failing = False
        self._registered = False
        self.worker_id = identity.worker_id
        self.status = "active"

    async def run(self) -> None:
        """For ever: be registered, and be heard every interval. Cancel it before `leave`."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, self._interval_seconds)
        while True:
            try:
                if not self._registered:
                    await self._register()
                await self._be_heard(backoff)
            except TrawlError as error:
                if not self._failing:
                    log.warning("cannot reach the worker registry as I should", reason=error.message, kind=error.kind)
                self._failing = True
                await asyncio.sleep(backoff.failed())

    async def _register(self) -> None:
        identity = self._identity
        worker: pb.Worker = await self._client.call(
            self._stub.Register,
            pb.RegisterRequest(
                worker=pb.Worker(
                    id=self.worker_id,
                    session=identity.session,
                    hostname=identity.hostname,
                    ip_address=identity.ip_address,
                    port=identity.port,
                    task_types=identity.task_types,
                    max_concurrent_tasks=identity.slots,
                    metadata_json=identity.metadata_json,
                ),
                heartbeat_interval_ms=round(self._interval_seconds * 1000),
            ),
            timeout=self._call_seconds,
        )
        self.worker_id, self._registered = worker.id, True
        log.info("registered", worker=worker.id, session=identity.session)
        await self._become(worker.status)

    async def _be_heard(self, backoff: Backoff) -> None:
        """Until the registry doesn't know this session. Raises a `TrawlError` when the stream ends otherwise."""
        beats = self._client.pulse(
            self._stub.Heartbeats,
            self._beat,
            every_seconds=self._interval_seconds,
            answer_seconds=self._call_seconds,
        )
        async with contextlib.aclosing(beats):
            async for answer in beats:
                backoff.succeeded()
                if self._failing:
                    log.info("the worker registry answers again")
                self._failing = False
                if answer.unknown:
                    log.warning("the worker registry does not know me: registering again", worker=self.worker_id)
                    self._registered = False
                    return
                await self._become(answer.status)
        raise Unavailable("the worker registry has hung up", dependency="worker-registry")

    async def _beat(self, answer: bool) -> pb.HeartbeatRequest:
        runs = list(self._occupancy())
        usage = await asyncio.to_thread(self._meter.measure)
        return pb.HeartbeatRequest(
            id=self.worker_id,
            session=self._identity.session,
            current_task_count=len(runs),
            current_runs=runs,
            load_average=os.getloadavg()[0],
            memory_usage=usage.memory_mb,
            cpu_usage=usage.cpu_percent,
            answer=answer,
        )

    async def _become(self, status: str) -> None:
        if status == self.status:
            return
        log.info("asked to be", status=status)
        self.status = status
        await self._on_status(status)

    async def leave(self) -> None:
        """Deregister, within two seconds; if that can't be done the registry will notice the silence."""
        if not self._registered:
            return
        self._registered = False
        with contextlib.suppress(TrawlError):
            await self._client.call(
                self._stub.Deregister,
                pb.DeregisterRequest(id=self.worker_id, session=self._identity.session),
                timeout=LEAVE_SECONDS,
            )
