"""What is told at an interval: `system.health_check` and `worker.heartbeat`. Owns: when, and by which replica.

Heartbeats are sampled from the registry's list, at most one for each worker and interval: the registry hears a thousand
workers every few seconds and publishes none of it. Nobody is asked while no webhook wants to know. Time is cut into
slots, each slot is taken by one replica in Redis, and a happening's id names its slot.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import redis.asyncio as aioredis
from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.poison import TEMPORARY
from chassis.stores import redis_errors
from trawl.workerregistry.v1 import workers_pb2

from gateway.backend import Backend
from gateway.happenings import HEALTH_CHECK, WORKER_HEARTBEAT, Happening
from gateway.times import iso_seconds
from gateway.webhooks.directory import Directory
from gateway.webhooks.intake import Intake

log = get_logger("webhooks")
Json = Any
PAGE = 1_000
MAX_WORKERS = 20_000


class Ticks:
    """`health` gives the state of the system, as JSON."""

    def __init__(
        self,
        *,
        redis: aioredis.Redis,
        directory: Directory,
        intake: Intake,
        backend: Backend,
        health: Callable[[], Awaitable[Mapping[str, Json]]],
    ) -> None:
        self._redis, self._directory, self._intake = redis, directory, intake
        self._backend, self._health = backend, health

    async def run_health(self, interval_seconds: float) -> None:
        """For ever: tell how the system is."""
        async for slot in self._slots(HEALTH_CHECK, interval_seconds):
            happening = Happening(HEALTH_CHECK, str(slot), now_ms(), await self._health())
            await self._tell([happening])

    async def run_heartbeats(self, interval_seconds: float) -> None:
        """For ever: tell which workers were heard since the last time."""
        async for slot in self._slots(WORKER_HEARTBEAT, interval_seconds):
            try:
                workers = await self._workers()
            except TEMPORARY as error:
                log.warning("no heartbeats to tell of", reason=error.message)
                continue
            since_ms = now_ms() - int(interval_seconds * 1000)
            await self._tell([_beat(worker, slot) for worker in workers if worker.last_heartbeat_ms >= since_ms])

    async def _slots(self, event_type: str, interval_seconds: float) -> AsyncIterator[int]:
        """The slots that this replica has taken, each when it begins, while somebody wants to know."""
        while True:
            now = time.time()
            slot = int(now // interval_seconds) + 1
            await asyncio.sleep(slot * interval_seconds - now)
            if self._directory.wanted(event_type) and await self._take(event_type, slot, interval_seconds):
                yield slot

    async def _take(self, event_type: str, slot: int, interval_seconds: float) -> bool:
        name = f"trawl:gateway:tick:{event_type}:{slot}"
        try:
            with redis_errors():
                return bool(await self._redis.set(name, b"1", nx=True, px=int(interval_seconds * 2_000)))
        except Unavailable as error:
            log.warning("a tick is left out", event=event_type, reason=error.message)
            return False

    async def _tell(self, happenings: list[Happening]) -> None:
        try:
            await self._intake.tell(self._directory.active, happenings)
        except Unavailable as error:
            log.warning("a tick is left out", reason=error.message)

    async def _workers(self) -> list[workers_pb2.Worker]:
        workers: list[workers_pb2.Worker] = []
        while len(workers) < MAX_WORKERS:
            request = workers_pb2.ListWorkersRequest(offset=len(workers), limit=PAGE)
            answer = await self._backend.worker(self._backend.workers.ListWorkers, request)
            workers.extend(answer.workers)
            if len(answer.workers) < PAGE:
                break
        return workers


def _beat(worker: workers_pb2.Worker, slot: int) -> Happening:
    data = {
        "worker_id": worker.id,
        "hostname": worker.hostname,
        "status": worker.status,
        "last_heartbeat": iso_seconds(worker.last_heartbeat_ms),
        "current_task_count": worker.current_task_count,
        "load_average": worker.load_average,
        "memory_usage": worker.memory_usage,
        "cpu_usage": worker.cpu_usage,
    }
    return Happening(WORKER_HEARTBEAT, f"{worker.id}|{slot}", now_ms(), data)
