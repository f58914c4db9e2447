"""Benchmark: what many workers' heartbeats cost. Owns the pretended workers: each a connection of its own."""

import asyncio
import contextlib
import time

from chassis.grpc_client import GrpcClient
from trawl.workerregistry.v1 import workers_pb2, workers_pb2_grpc

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.machine import HOST
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.statistics import difference
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "Heartbeats"
WORKERS = 1_000
INTERVAL_SECONDS = 5.0
CALL_SECONDS = 10.0
# So many workers connect and register at the same time.
TOGETHER = 50
# Workers are processes: none shares a connection with another.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
NOTES = """\
Each worker has a connection of its own, on which it says every 5 s that it lives, in one stream as Trawl's own workers
do; the workers are spread evenly over the 5 s. `before` is the idle stack just before they come, in shares of one core
as well.
"""


class _Worker:
    """One pretended worker."""

    def __init__(self, number: int, port: int) -> None:
        self.id, self.session = f"bench-{number:05d}", f"session-{number:05d}"
        self._client = GrpcClient("worker-registry", f"{HOST}:{port}", OPTIONS)
        self._stub = self._client.stub(workers_pb2_grpc.WorkerServiceStub)
        self.beats = 0

    async def register(self, together: asyncio.Semaphore) -> None:
        """Be known."""
        worker = workers_pb2.Worker(
            id=self.id, session=self.session, hostname="benchmark", ip_address="127.0.0.1", port=1,
            task_types=["nobody-offers-this"], max_concurrent_tasks=10,
        )  # fmt: skip
        request = workers_pb2.RegisterRequest(worker=worker, heartbeat_interval_ms=int(INTERVAL_SECONDS * 1000))
        async with together:
            await self._client.call(self._stub.Register, request, timeout=CALL_SECONDS)

    async def beat(self, first: float) -> None:
        """Heartbeats from `first` on (of `time.monotonic`), until cancelled."""
        await asyncio.sleep(first - time.monotonic())
        beats = self._client.pulse(
            self._stub.Heartbeats, self._said, every_seconds=INTERVAL_SECONDS, answer_seconds=CALL_SECONDS
        )
        async with contextlib.aclosing(beats):
            async for answer in beats:
                if answer.unknown or answer.status != "active":
                    raise BenchmarkError(f"{self.id} was told to be {answer.status} (unknown: {answer.unknown}).")
        raise BenchmarkError(f"{self.id}'s stream was ended by the registry.")

    async def _said(self, answer: bool) -> workers_pb2.HeartbeatRequest:
        self.beats += 1
        return workers_pb2.HeartbeatRequest(
            id=self.id, session=self.session, load_average=0.5, memory_usage=100, answer=answer
        )

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


async def measure(lab: Lab) -> Report:
    """Idle, then with the workers."""
    count = 100 if lab.options.quick else WORKERS
    seconds = 5.0 if lab.options.quick else 30.0
    async with Trawl().running(lab.folder()) as live:
        before = await _shares(live, seconds / 2)
        lab.say("the idle stack is measured")
        workers = [_Worker(number, live.private["worker-registry"]) for number in range(count)]
        try:
            together = asyncio.Semaphore(TOGETHER)
            await asyncio.gather(*(worker.register(together) for worker in workers))
            lab.say(f"{count} workers are registered")
            during = await _beat(live, workers, seconds)
        finally:
            await asyncio.gather(*(worker.close() for worker in workers))
    beats = sum(worker.beats for worker in workers)
    return _report(count, seconds, beats, before, during)


async def _beat(live: TrawlLive, workers: list[_Worker], seconds: float) -> dict[str, float]:
    now = time.monotonic()
    async with asyncio.TaskGroup() as group:
        beating = [
            group.create_task(worker.beat(now + number / len(workers) * INTERVAL_SECONDS))
            for number, worker in enumerate(workers)
        ]
        # One round of heartbeats before the measurement.
        await asyncio.sleep(INTERVAL_SECONDS)
        shares = await _shares(live, seconds)
        await _check_active(live, len(workers))
        for task in beating:
            task.cancel()
    return shares


async def _shares(live: TrawlLive, seconds: float) -> dict[str, float]:
    """Per cent of one core by program."""
    began, before = time.monotonic(), live.meter.cpu_seconds()
    await asyncio.sleep(seconds)
    spent = difference(before, live.meter.cpu_seconds())
    return {name: value / (time.monotonic() - began) * 100 for name, value in spent.items()}


async def _check_active(live: TrawlLive, count: int) -> None:
    client = GrpcClient("worker-registry", f"{HOST}:{live.private['worker-registry']}")
    request = workers_pb2.ListWorkersRequest(status="active", task_type="nobody-offers-this", limit=1)
    try:
        listed = await client.call(client.stub(workers_pb2_grpc.WorkerServiceStub).ListWorkers, request)
        active = listed.total
    finally:
        await client.close()
    if active != count:
        raise BenchmarkError(f"{count} workers sent heartbeats, and {active} are active.")


def _report(count: int, seconds: float, beats: int, before: dict[str, float], during: dict[str, float]) -> Report:
    rows: list[list[Cell]] = [
        [name, before.get(name, 0.0), share] for name, share in sorted(during.items(), key=lambda pair: -pair[1])
    ]
    rows.append(["all", sum(before.values()), sum(during.values())])
    expected = count / INTERVAL_SECONDS * (seconds + INTERVAL_SECONDS)
    if beats < 0.9 * expected:
        raise BenchmarkError(f"Only {beats} of about {expected:.0f} heartbeats were sent in time.")
    return Report(
        "heartbeats", TITLE, {"workers": count, "interval s": INTERVAL_SECONDS, "seconds": seconds},
        [Table("per cent of one core", ("program", "before", "with the workers"), rows)],
        [Bars("CPU with the workers", "per cent of one core", during)],
        [Goal("registry, per cent of a core", during["worker-registry"], 10)],
        paragraphs(NOTES), {"before": before, "during": during, "heartbeats": beats},
    )  # fmt: skip
