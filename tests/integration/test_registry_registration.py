"""The scraper as a worker of a real registry."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from chassis.errors import NotFound
from chassis.grpc_client import GrpcClient
from scraper.registration import Identity, Meter, Registration

Registry = Any
StartRegistry = Any


class Worker:
    """A registration, the statuses that it was asked for, and the runs that it says it does."""

    def __init__(self, target: str, interval_seconds: float = 0.2, **identity: Any) -> None:
        self.client = GrpcClient("worker-registry", target)
        self.asked: list[str] = []
        self.runs: list[int] = []

        async def on_status(status: str) -> None:
            self.asked.append(status)

        fields = {"session": "s1", "hostname": "host-a", "task_types": ("http",), "slots": 3} | identity
        self.registration = Registration(
            self.client,
            Identity(**fields),
            occupancy=lambda: self.runs,
            on_status=on_status,
            interval_seconds=interval_seconds,
        )
        self.task = asyncio.create_task(self.registration.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def work() -> AsyncIterator[Callable[..., Worker]]:
    """Start a worker: `work(target, worker_id=…)`."""
    started: list[Worker] = []

    def start(target: str, **identity: Any) -> Worker:
        started.append(Worker(target, **identity))
        return started[-1]

    yield start
    for worker in started:
        await worker.stop()
        await worker.client.close()


async def test_it_registers_is_heard_and_leaves(registry: Registry, work: Callable[..., Worker]) -> None:
    """What it does and uses is seen; after leaving it is not there any more."""
    worker = work(registry.target)
    worker.runs = [7]

    async def busy() -> bool:
        found = (await registry.listed()).workers
        return bool(found) and list(found[0].current_runs) == [7] and found[0].memory_usage > 0

    await registry.until(busy)
    assert worker.registration.worker_id == "worker-001"
    await worker.stop()
    await worker.registration.leave()
    with pytest.raises(NotFound):
        await registry.get("worker-001")


async def test_what_operators_want_reaches_the_callback_once(registry: Registry, work: Callable[..., Worker]) -> None:
    """Each change once, in order; nothing for the first active."""
    worker = work(registry.target, worker_id="w")

    async def has(*statuses: str) -> bool:
        return worker.asked == list(statuses)

    await registry.published("registered", "w")
    for n, status in enumerate(statuses := ["draining", "offline", "active"]):
        await registry.update("w", status=status)
        expected = statuses[: n + 1]
        await registry.until(lambda expected=expected: has(*expected))


async def test_a_forgotten_worker_registers_again(registry: Registry, work: Callable[..., Worker]) -> None:
    """Under its id and session."""
    work(registry.target, worker_id="w")
    await registry.published("registered", "w")
    await registry.deregister("w")

    async def twice() -> bool:
        return (await registry.kinds()).count(("registered", "w", "s1")) == 2

    await registry.until(twice)


async def test_it_outlives_any_absence_of_the_registry(
    start_registry: StartRegistry, work: Callable[..., Worker]
) -> None:
    """It may start before it, and see it killed: no error, it is heard afterwards, and was never lost."""
    first = await start_registry()
    first.program.kill()
    # Lost after nine seconds: no machine is so slow that it can't send one heartbeat meanwhile.
    worker = work(first.target, worker_id="w", interval_seconds=3)
    await asyncio.sleep(0.5)  # some failed attempts
    assert not worker.task.done()
    await asyncio.to_thread(first.program.start)
    await first.published("registered", "w", seconds=40)
    first.program.kill()
    await asyncio.sleep(0.5)  # some failed heartbeats
    assert not worker.task.done()
    await asyncio.to_thread(first.program.start)
    await first.until(first.serving, 60)

    before = (await first.get("w")).last_heartbeat_ms

    async def heard() -> bool:
        found = await first.get("w")
        return found.last_heartbeat_ms > before and found.status == "active"

    await first.until(heard, 40)
    assert ("lost", "w", "s1") not in await first.kinds()


async def test_leaving_takes_two_seconds_at_most(registry: Registry, work: Callable[..., Worker]) -> None:
    """Also when nobody answers."""
    worker = work(registry.target, worker_id="w")
    await registry.published("registered", "w")
    await worker.stop()
    registry.program.pause()
    try:
        # Far less than a call's usual time, with room for a machine that has other things to do.
        async with asyncio.timeout(5):
            await worker.registration.leave()
    finally:
        registry.program.resume()


async def test_the_meter_counts_the_whole_process_tree() -> None:
    """A busy child shows as CPU, and its memory is counted."""
    meter = Meter()
    alone = meter.measure()
    busy = await asyncio.create_subprocess_exec("sh", "-c", "while :; do :; done")
    try:
        used = 0.0
        async with asyncio.timeout(40):
            while used < 30:
                await asyncio.sleep(0.2)  # something to measure
                used = meter.measure().cpu_percent
    finally:
        with contextlib.suppress(ProcessLookupError):
            busy.kill()
        await busy.wait()
    assert 0 < alone.memory_mb < 4096
    assert used <= 100 * (os.cpu_count() or 1) + 50
