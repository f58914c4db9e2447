"""Which queues have workers, as the registry says; remembered for a few seconds. Asks when somebody wants to know."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from chassis.errors import TrawlError
from chassis.grpc_client import GrpcClient
from chassis.logs import get_logger
from trawl.workerregistry.v1 import workers_pb2, workers_pb2_grpc

log = get_logger("offers")
FRESH_SECONDS = 2.0
ASK_SECONDS = 2.0
MAX_WORKERS = 1_000


class WorkerOffers:
    """Queues and how many active workers take from each."""

    def __init__(self, registry: GrpcClient) -> None:
        self._registry = registry
        self._stub: Any = registry.stub(workers_pb2_grpc.WorkerServiceStub)
        self._queues: Mapping[str, int] | None = None
        self._fresh_until = 0.0
        self._wanted = asyncio.Event()
        self._asking = asyncio.Lock()

    async def queues(self) -> Mapping[str, int] | None:
        """Active workers by queue; None when the registry can't be asked now."""
        async with self._asking:
            if time.monotonic() < self._fresh_until:
                return self._queues
            request = workers_pb2.ListWorkersRequest(status="active", limit=MAX_WORKERS)
            try:
                answer = await self._registry.call(self._stub.ListWorkers, request, timeout=ASK_SECONDS, wait=False)
            except TrawlError as error:
                log.debug("the registry can't be asked", reason=error.message)
                self._queues = None
            else:
                counts: dict[str, int] = {}
                for worker in answer.workers:
                    for queue in worker.task_types:
                        counts[queue] = counts.get(queue, 0) + 1
                self._queues = counts
            self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._queues

    def lacks(self, queue: str) -> bool:
        """Whether no worker takes from the queue, as far as it is known without waiting; asks for the next time."""
        if time.monotonic() >= self._fresh_until:
            self._wanted.set()
        return self._queues is not None and queue not in self._queues

    async def run(self) -> None:
        """For ever: ask when somebody wanted to know."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()  # who wants to know from now on is asked for again
            await self.queues()
