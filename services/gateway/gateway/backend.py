"""The services behind the gateway. Owns: channels, stubs, deadlines, and the sharing of calls that start runs.
Must not know HTTP or any contract.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from chassis.batching import Batcher
from chassis.errors import TrawlError, error_of
from chassis.grpc_client import GrpcClient
from chassis.telemetry import current_traceparent
from trawl.scheduler.v1 import (
    lease_pb2_grpc,
    queues_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    standings_pb2_grpc,
    tasks_pb2_grpc,
    workflows_pb2_grpc,
)
from trawl.scraper.v1 import (
    accounts_pb2_grpc,
    browser_pb2_grpc,
    collections_pb2_grpc,
    definitions_pb2_grpc,
    papers_pb2_grpc,
    results_pb2_grpc,
)
from trawl.workerregistry.v1 import endpoints_pb2_grpc, workers_pb2_grpc

START_SECONDS = 10.0
# What a slow machine stores at least: 50 MB of steps are taken in, cut up and written before the answer.
START_BYTES_PER_SECOND = 1024 * 1024
READ_SECONDS = 5.0
# Runs with more than this to carry get a call of their own, so that no shared call outgrows a gRPC message.
SHARED_BYTES = 64 * 1024
CHUNK_RUNS = 500
CHUNK_BYTES = 16 * 1024 * 1024

RunOrError = runs_pb2.Run | TrawlError


# One more start that waits for the scheduler is refused with 429.
MAX_WAITING_STARTS = 500


class Backend:
    """One client for each service; `call(method, request)` reads and changes, `start` starts runs."""

    def __init__(self, *, scheduler: str, scraper: str, registry: str) -> None:
        self.scheduler = GrpcClient("scheduler", scheduler)
        self.scraper = GrpcClient("scraper", scraper)
        self.registry = GrpcClient("worker-registry", registry)
        # mypy-protobuf gives async and sync stubs one constructor; which it is depends on the channel.
        self.tasks: Any = self.scheduler.stub(tasks_pb2_grpc.TaskServiceStub)
        self.runs: Any = self.scheduler.stub(runs_pb2_grpc.RunServiceStub)
        self.queues: Any = self.scheduler.stub(queues_pb2_grpc.QueueServiceStub)
        self.leases: Any = self.scheduler.stub(lease_pb2_grpc.LeaseServiceStub)
        self.workflows: Any = self.scheduler.stub(workflows_pb2_grpc.WorkflowServiceStub)
        self.results: Any = self.scraper.stub(results_pb2_grpc.ResultServiceStub)
        self.standings: Any = self.scheduler.stub(standings_pb2_grpc.StandingServiceStub)
        self.collections: Any = self.scraper.stub(collections_pb2_grpc.CollectionServiceStub)
        self.papers: Any = self.scraper.stub(papers_pb2_grpc.PaperServiceStub)
        self.accounts: Any = self.scraper.stub(accounts_pb2_grpc.AccountServiceStub)
        self.browser: Any = self.scraper.stub(browser_pb2_grpc.BrowserServiceStub)
        self.definitions: Any = self.scraper.stub(definitions_pb2_grpc.DefinitionServiceStub)
        self.workers: Any = self.registry.stub(workers_pb2_grpc.WorkerServiceStub)
        self.endpoints: Any = self.registry.stub(endpoints_pb2_grpc.EndpointServiceStub)
        self._starts: Batcher[runs_pb2.StartRun, runs_pb2.Run] = Batcher(
            self._send_starts,
            max_batch=256,
            max_in_flight=4,
            max_waiting=MAX_WAITING_STARTS,
            loaded_patience_seconds=0.002,
        )

    async def task(self, method: Any, request: Any, *, extra_seconds: float = 0) -> Any:
        """Ask the scheduler."""
        return await self.scheduler.call(method, request, timeout=READ_SECONDS + extra_seconds)

    async def run(self, method: Any, request: Any, *, extra_seconds: float = 0) -> Any:
        """Ask the scheduler about runs."""
        return await self.scheduler.call(method, request, timeout=READ_SECONDS + extra_seconds)

    async def result(self, method: Any, request: Any, *, extra_seconds: float = 0) -> Any:
        """Ask the scraper."""
        return await self.scraper.call(method, request, timeout=READ_SECONDS + extra_seconds)

    async def worker(self, method: Any, request: Any) -> Any:
        """Ask the registry."""
        return await self.registry.call(method, request, timeout=READ_SECONDS)

    async def start(self, run: runs_pb2.StartRun) -> runs_pb2.Run:
        """Start one run, together with others that come at the same time. Raises a `TrawlError`."""
        if traceparent := current_traceparent():
            run.traceparent = traceparent
        if len(run.parameters_json) <= SHARED_BYTES:
            return await self._starts.call(run)
        answer = (await self._send_starts([run]))[0]
        if isinstance(answer, TrawlError):
            raise answer
        return answer

    async def start_many(self, runs: Sequence[runs_pb2.StartRun]) -> list[RunOrError]:
        """Start runs in as few calls as their size allows; each has a run or an error of its own."""
        traceparent = current_traceparent()
        two_at_a_time = asyncio.Semaphore(2)

        async def send(chunk: list[runs_pb2.StartRun]) -> list[RunOrError]:
            for run in chunk:
                run.traceparent = traceparent
            async with two_at_a_time:
                try:
                    return await self._send_starts(chunk)
                except TrawlError as error:
                    return [error] * len(chunk)

        answers = await asyncio.gather(*(send(chunk) for chunk in _chunks(runs)))
        return [answer for chunk in answers for answer in chunk]

    async def _send_starts(self, runs: list[runs_pb2.StartRun]) -> list[RunOrError]:
        request = runs_pb2.StartRunsRequest(runs=runs)
        seconds = START_SECONDS + request.ByteSize() / START_BYTES_PER_SECOND
        response = await self.scheduler.call(self.runs.StartRuns, request, timeout=seconds)
        return [_run_or_error(result) for result in response.results]

    async def close(self) -> None:
        """Close the channels."""
        for client in (self.scheduler, self.scraper, self.registry):
            await client.close()


def _run_or_error(result: runs_pb2.StartRunResult) -> RunOrError:
    if result.HasField("error"):
        return error_of(result.error.kind, result.error.message, result.error.field or None)
    return result.run


def _chunks(runs: Sequence[runs_pb2.StartRun]) -> list[list[runs_pb2.StartRun]]:
    chunks: list[list[runs_pb2.StartRun]] = []
    size = 0
    for run in runs:
        if not chunks or len(chunks[-1]) >= CHUNK_RUNS or size + len(run.parameters_json) > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(run)
        size += len(run.parameters_json)
    return chunks
