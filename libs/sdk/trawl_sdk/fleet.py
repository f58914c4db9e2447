"""The fleet as a worker sees it: who to register with, where runs come from, whom to tell. Owns the gRPC calls and
their deadlines. Must not know how runs are done.
"""

import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from chassis.errors import Conflict, NotFound
from chassis.grpc_client import GrpcClient
from trawl.scheduler.v1 import lease_pb2, lease_pb2_grpc, runs_pb2, runs_pb2_grpc, tasks_pb2, tasks_pb2_grpc
from trawl.scraper.v1 import results_pb2, results_pb2_grpc
from trawl.workerregistry.v1 import workers_pb2, workers_pb2_grpc

Json = Any
CALL_SECONDS = 5.0
LEASE_WAIT_SECONDS = 20.0
LEASE_MS = 10_000
HEARTBEAT_MS = 2_000
FINISH_SECONDS = 15.0
PARAMETERS_SECONDS = 60.0
CONTRACT = "management"


class NameTaken(Exception):
    """A task of that name is there, and it is something else."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Addresses of the three services, host:port."""

    scheduler: str
    scraper: str
    registry: str
    # What may be amiss when nobody is there.
    hint: str = field(default="", compare=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Targets":
        """What SCHEDULER_TARGET, SCRAPER_TARGET and REGISTRY_TARGET say, else what the file TRAWL_PORTS_FILE says now
        (the services' ports on this machine by name, as JSON), else this machine's usual ports.
        """
        file = environment.get("TRAWL_PORTS_FILE", "")
        ports = _ports(file)
        usual = {"scheduler": 50051, "scraper": 50052, "worker-registry": 50053}
        here = {name: f"127.0.0.1:{ports.get(name, port)}" for name, port in usual.items()}
        return cls(
            environment.get("SCHEDULER_TARGET") or here["scheduler"],
            environment.get("SCRAPER_TARGET") or here["scraper"],
            environment.get("REGISTRY_TARGET") or here["worker-registry"],
            f"; {file} is not there: is TRAWL_HOME the stack's folder?" if file and not ports else "",
        )

    def __str__(self) -> str:
        return f"scheduler {self.scheduler}, scraper {self.scraper}, worker-registry {self.registry}{self.hint}"


def _ports(path: str) -> dict[str, int]:
    try:
        found = orjson.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def own_address(target: str) -> str:
    """The address that this machine calls `target` from; nothing is sent for that."""
    host, _, port = target.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Identity:
    """This process. `session` differs between any two; an empty `worker_id` is filled in by the registry."""

    worker_id: str
    session: str
    slots: int
    queues: tuple[str, ...]


class Fleet:
    """Every method raises `chassis.errors.TrawlError`. `look` answers where the services are now."""

    def __init__(self, look: Callable[[], Targets]) -> None:
        self._look, self.targets = look, look()
        self._connect()

    def _connect(self) -> None:
        targets = self.targets
        self._address = own_address(targets.registry)
        self._scheduler = GrpcClient("scheduler", targets.scheduler)
        self._scraper = GrpcClient("scraper", targets.scraper)
        self._registry = GrpcClient("worker-registry", targets.registry)
        # One generated class serves async and sync channels; its type says neither.
        self._tasks: Any = self._scheduler.stub(tasks_pb2_grpc.TaskServiceStub)
        self._runs: Any = self._scheduler.stub(runs_pb2_grpc.RunServiceStub)
        self._leases: Any = self._scheduler.stub(lease_pb2_grpc.LeaseServiceStub)
        self._results: Any = self._scraper.stub(results_pb2_grpc.ResultServiceStub)
        self._workers: Any = self._registry.stub(workers_pb2_grpc.WorkerServiceStub)

    async def look_again(self) -> bool:
        """Whether the services are elsewhere by now; then they are spoken to there, and calls under way fail."""
        if (targets := self._look()) == self.targets:
            return False
        former = (self._scheduler, self._scraper, self._registry)
        self.targets = targets
        self._connect()
        for client in former:
            await client.close()
        return True

    async def define(self, definition: Mapping[str, Json]) -> None:
        """Make the task that stands for a function, or bring its limits up to date. Raises `NameTaken`."""
        wanted = tasks_pb2.Task(
            name=definition["name"], description=definition["description"][:10_000], task_type=definition["queue"],
            executor=definition["queue"], priority=runs_pb2.PRIORITY_NORMAL, retry_count=definition["retries"],
            timeout_seconds=-int(-definition["timeout"] // 1), contract=CONTRACT,
            metadata_json=orjson.dumps({"retry": {"initial_seconds": definition["retry_delay"]}}),
        )  # fmt: skip
        request = tasks_pb2.GetTaskRequest(name=wanted.name)
        try:
            known = (await self._scheduler.call(self._tasks.GetTask, request, timeout=CALL_SECONDS)).task
        except NotFound:
            try:
                create = tasks_pb2.CreateTaskRequest(task=wanted)
                await self._scheduler.call(self._tasks.CreateTask, create, timeout=CALL_SECONDS)
            except Conflict:  # another worker was faster
                known = (await self._scheduler.call(self._tasks.GetTask, request, timeout=CALL_SECONDS)).task
            else:
                return
        if known.task_type != wanted.task_type:
            raise NameTaken(f"there is a task {wanted.name!r} already, of type {known.task_type!r}: rename one of them")
        metadata = orjson.loads(known.metadata_json or b"{}")
        wanted.metadata_json = orjson.dumps({**metadata, **orjson.loads(wanted.metadata_json)})
        fields = [
            name for name in ("description", "retry_count", "timeout_seconds", "metadata_json")
            if getattr(known, name) != getattr(wanted, name)
        ]  # fmt: skip
        if "metadata_json" in fields and metadata == orjson.loads(wanted.metadata_json):
            fields.remove("metadata_json")
        if fields:
            update = tasks_pb2.UpdateTaskRequest(id=known.id, task=wanted, fields=fields)
            await self._scheduler.call(self._tasks.UpdateTask, update, timeout=CALL_SECONDS)

    async def register(self, identity: Identity) -> str:
        """Be a worker of the fleet; answers the worker's id."""
        worker = workers_pb2.Worker(
            id=identity.worker_id, session=identity.session, hostname=socket.gethostname(), ip_address=self._address,
            task_types=identity.queues, max_concurrent_tasks=identity.slots,
            metadata_json=orjson.dumps({"sdk": "python", "pid": os.getpid()}),
        )  # fmt: skip
        request = workers_pb2.RegisterRequest(worker=worker, heartbeat_interval_ms=HEARTBEAT_MS)
        answer = await self._registry.call(self._workers.Register, request, timeout=CALL_SECONDS)
        return str(answer.id)

    async def heartbeats(
        self, worker_id: str, session: str, runs: Callable[[], Sequence[int]]
    ) -> AsyncGenerator[str, None]:
        """Be heard from now on; yields what the worker should be whenever that changes, empty when the registry doesn't
        know it any more. Close the generator.
        """

        async def said(answer: bool) -> workers_pb2.HeartbeatRequest:
            held = list(runs())
            return workers_pb2.HeartbeatRequest(
                id=worker_id, session=session, current_task_count=len(held), current_runs=held,
                load_average=os.getloadavg()[0], answer=answer,
            )  # fmt: skip

        answers = self._registry.pulse(
            self._workers.Heartbeats, said, every_seconds=HEARTBEAT_MS / 1000, answer_seconds=CALL_SECONDS
        )
        async with contextlib.aclosing(answers):
            async for answer in answers:
                yield "" if answer.unknown else str(answer.status)

    async def leave(self, worker_id: str, session: str) -> None:
        """Be no worker any more."""
        request = workers_pb2.DeregisterRequest(id=worker_id, session=session)
        await self._registry.call(self._workers.Deregister, request, timeout=CALL_SECONDS, wait=False)

    async def lease(self, identity: Identity, most: int) -> list[lease_pb2.LeasedRun]:
        """Runs for this worker; waits a while for the first one."""
        request = lease_pb2.LeaseRequest(
            worker_id=identity.worker_id, worker_session=identity.session, worker_hostname=socket.gethostname(),
            task_types=identity.queues, slots=identity.slots, max_runs=most, wait_ms=int(LEASE_WAIT_SECONDS * 1000),
            lease_ms=LEASE_MS,
        )  # fmt: skip
        answer = await self._scheduler.call(self._leases.Lease, request, timeout=LEASE_WAIT_SECONDS + CALL_SECONDS)
        return list(answer.runs)

    async def parameters(self, spec: runs_pb2.RunSpec) -> Mapping[str, Json]:
        """The run's parameters, however large."""
        data = spec.parameters_json
        if spec.parameters_by_reference:
            request = runs_pb2.GetParametersRequest(run_id=spec.run_id)
            chunks = self._scheduler.stream(self._runs.GetParameters, request, timeout=PARAMETERS_SECONDS)
            data = b"".join([chunk.data async for chunk in chunks])
        found: Mapping[str, Json] = orjson.loads(data or b"{}")
        return found

    async def renew(self, worker_id: str, run_ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """(runs to abort, runs that are not ours any more)"""
        request = lease_pb2.RenewRequest(worker_id=worker_id, run_ids=run_ids)
        answer = await self._scheduler.call(self._leases.Renew, request, timeout=CALL_SECONDS)
        return list(answer.abort), list(answer.lost)

    async def report(self, report: lease_pb2.LeaseReport) -> lease_pb2.LeaseState:
        """Say what is new of a run. Raises `Conflict` for a lost lease."""
        state: lease_pb2.LeaseState = await self._scheduler.call(self._leases.Report, report, timeout=CALL_SECONDS)
        return state

    async def finish(self, end: lease_pb2.LeaseEnd) -> None:
        """End an attempt. Raises `Conflict` for a lost lease."""
        await self._scheduler.call(self._leases.Finish, end, timeout=FINISH_SECONDS)

    async def give_back(self, run_id: int, token: int) -> None:
        """Return a run unharmed: another worker does it from its checkpoint on."""
        request = lease_pb2.GiveBackRequest(run_id=run_id, token=token)
        await self._scheduler.call(self._leases.GiveBack, request, timeout=CALL_SECONDS)

    async def add_items(self, request: results_pb2.AddItemsRequest) -> None:
        """Store result items."""
        await self._scraper.call(self._results.AddItems, request, timeout=CALL_SECONDS * 2)

    async def save_checkpoint(self, run_id: int, state: Json, position: int) -> None:
        """Keep where the next attempt goes on."""
        request = results_pb2.Checkpoint(run_id=run_id, state_json=orjson.dumps(state), position=position)
        await self._scraper.call(self._results.SaveCheckpoint, request, timeout=CALL_SECONDS)

    async def checkpoint(self, run_id: int) -> tuple[Json, int]:
        """(what was kept or None, how many items had been found)"""
        request = results_pb2.GetCheckpointRequest(run_id=run_id)
        kept = await self._scraper.call(self._results.GetCheckpoint, request, timeout=CALL_SECONDS)
        return (orjson.loads(kept.state_json), int(kept.position)) if kept.state_json else (None, 0)

    async def close(self) -> None:
        """Close the channels."""
        for client in (self._scheduler, self._scraper, self._registry):
            await client.close()
