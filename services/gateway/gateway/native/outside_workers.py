"""Workers that speak only HTTP: registering, heartbeats, leases. Owns: their endpoints. Must not know how runs are
handed out. `docs/workers.md` describes the protocol.
"""

import asyncio
import math
import secrets
from collections.abc import Coroutine
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound
from trawl.scheduler.v1 import lease_pb2, runs_pb2
from trawl.workerregistry.v1 import workers_pb2
from wire.subjects import OUTSIDE_SESSION

from gateway.access import Role
from gateway.backend import READ_SECONDS, Backend
from gateway.bodies import read_object
from gateway.checks import MAX_ID, Fields, ignored, invalid
from gateway.exchange import Answer, Call, ClientGone
from gateway.native import worker_examples as examples
from gateway.native.envelope import ok
from gateway.native.translate import PRIORITY_WORDS, raw_json, worker_json
from gateway.native.workers import worker_id_of
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds

Json = Any
# A program over the internet needs more patience than a process of our own.
HEARTBEAT_SECONDS = 10.0
LONGEST_HEARTBEAT_SECONDS = 600
SILENT_INTERVALS = 3
SHORTEST_LEASE_MS = 15_000
MAX_CURRENT = 10_000
MAX_LEASED = 100
MAX_WAIT_SECONDS = 60
DEFAULT_WAIT_SECONDS = 20
# A worker that is to take nothing is answered after this long, so that one that asks again at once does no harm.
IDLE_SECONDS = 5.0
PARAMETERS_SECONDS = 30
TAG = "workers"
REGISTRATION = (
    "id", "hostname", "ip_address", "port", "task_types", "max_concurrent_tasks", "metadata",
    "heartbeat_interval_seconds",
)  # fmt: skip


class OutsideWorkerRoutes:
    """Handlers of what outside workers say about themselves."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def register(self, call: Call) -> Answer:
        """Register a worker; a known `id` is taken over, and what its former process held goes back to the queue."""
        fields = Fields(await read_object(call))
        call.warnings += ignored(fields.raw, REGISTRATION)
        for name in ("hostname", "ip_address", "port", "task_types"):
            fields.require(name)
        worker_id = fields.text("id", 64, one_line=True)
        if worker_id:
            await self._refuse_built_in(worker_id)
        worker = workers_pb2.Worker(
            id=worker_id,
            session=OUTSIDE_SESSION + secrets.token_hex(12),
            hostname=fields.text("hostname", 255, one_line=True),
            ip_address=fields.text("ip_address", 64, one_line=True),
            port=fields.integer("port", 0, 65_535, 0),
            task_types=fields.texts("task_types", items=200, limit=64),
            max_concurrent_tasks=fields.integer("max_concurrent_tasks", 1, 10_000, 5),
            metadata_json=orjson.dumps(fields.mapping("metadata")),
        )
        interval = _number(fields, "heartbeat_interval_seconds", 1, LONGEST_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
        request = workers_pb2.RegisterRequest(worker=worker, heartbeat_interval_ms=round(interval * 1000))
        registered = await self._backend.worker(self._backend.workers.Register, request)
        data = worker_json(registered) | {
            "metadata": raw_json(registered.metadata_json, {}),
            "heartbeat_interval_seconds": registered.heartbeat_interval_ms / 1000,
        }
        return ok(call, data, 201)

    async def _refuse_built_in(self, worker_id: str) -> None:
        """Nobody takes the place of a worker of Trawl's own."""
        try:
            await self._outside(worker_id)
        except NotFound:
            return

    async def _outside(self, worker_id: str) -> workers_pb2.Worker:
        """The worker. Raises `NotFound`, or `Conflict` when it is one of Trawl's own."""
        request = workers_pb2.GetWorkerRequest(id=worker_id)
        worker: workers_pb2.Worker = await self._backend.worker(self._backend.workers.GetWorker, request)
        if not worker.session.startswith(OUTSIDE_SESSION):
            raise Conflict(f"worker {worker_id} 是内置Worker, 不使用此接口", field="id", rule="outside")
        return worker

    async def heartbeat(self, call: Call) -> Answer:
        """Take note of a sign of life; renews the leases of `current_tasks`, and answers which of them to stop."""
        worker_id = worker_id_of(call)
        fields = Fields(await read_object(call, optional=True))
        runs = _run_ids(fields)
        request = workers_pb2.HeartbeatRequest(
            id=worker_id,
            current_task_count=fields.integer("current_task_count", 0, MAX_CURRENT, len(runs)),
            load_average=_number(fields, "load_average", 0, math.inf, 0),
            memory_usage=fields.integer("memory_usage", 0, MAX_ID, 0),
            cpu_usage=_number(fields, "cpu_usage", 0, math.inf, 0),
            current_runs=runs,
        )
        metadata = orjson.dumps(fields.mapping("metadata"))
        worker = await self._outside(worker_id)
        request.session = worker.session
        beat = await self._backend.worker(self._backend.workers.Heartbeat, request)
        if beat.unknown:
            raise NotFound(f"worker {worker_id} is not registered", resource="worker", id=worker_id)
        if fields.given("metadata") and metadata != worker.metadata_json:
            change = workers_pb2.Worker(metadata_json=metadata)
            update = workers_pb2.UpdateWorkerRequest(id=worker_id, worker=change, fields=["metadata_json"])
            await self._backend.worker(self._backend.workers.UpdateWorker, update)
        renewed = lease_pb2.RenewResponse()
        if runs:
            renewal = lease_pb2.RenewRequest(worker_id=worker_id, run_ids=runs)
            renewed = await self._backend.run(self._backend.leases.Renew, renewal)
        return ok(
            call,
            {
                "worker_id": worker_id,
                "status": beat.status,
                "last_heartbeat": iso_seconds(now_ms()),
                "message": "心跳接收成功",
                "wanted_status": beat.status,
                # A run that is somebody else's by now has to be stopped as well; only nobody wants to hear of it.
                "abort": [*renewed.abort, *renewed.lost],
                "lost": list(renewed.lost),
            },
        )

    async def lease(self, call: Call) -> Answer:
        """Hand out runs that fit the worker's task types and free slots; waits for the first one."""
        worker_id = worker_id_of(call)
        fields = Fields(await read_object(call, optional=True))
        most = fields.integer("max_runs", 1, MAX_LEASED, 1)
        wait = _number(fields, "wait_seconds", 0, MAX_WAIT_SECONDS, DEFAULT_WAIT_SECONDS)
        worker = await self._outside(worker_id)
        if worker.status != "active":
            await _unless_gone(call, asyncio.sleep(min(wait, IDLE_SECONDS)))
            return ok(call, {"worker_id": worker_id, "status": worker.status, "runs": []})
        request = lease_pb2.LeaseRequest(
            worker_id=worker_id, worker_session=worker.session, worker_hostname=worker.hostname,
            task_types=worker.task_types, slots=worker.max_concurrent_tasks, max_runs=most, wait_ms=round(wait * 1000),
            lease_ms=max(SHORTEST_LEASE_MS, SILENT_INTERVALS * worker.heartbeat_interval_ms),
        )  # fmt: skip
        ask = self._backend.run(self._backend.leases.Lease, request, extra_seconds=wait + READ_SECONDS)
        answer: lease_pb2.LeaseResponse = await _unless_gone(call, ask)
        runs = [_leased_json(leased, await self._parameters(leased.spec)) for leased in answer.runs]
        return ok(call, {"worker_id": worker_id, "status": worker.status, "runs": runs})

    async def _parameters(self, spec: runs_pb2.RunSpec) -> Json:
        if not spec.parameters_by_reference:
            return raw_json(spec.parameters_json, {})
        request = runs_pb2.GetParametersRequest(run_id=spec.run_id)
        chunks = self._backend.scheduler.stream(self._backend.runs.GetParameters, request, timeout=PARAMETERS_SECONDS)
        return orjson.Fragment(b"".join([chunk.data async for chunk in chunks]))

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        one = "/workers/{worker_id}"
        return [
            Endpoint("POST", f"{one}/lease", self.lease,
                     Doc("领取任务运行", TAG, body=examples.LEASE, body_required=False, answer=examples.LEASED,
                         errors=(400, 401, 403, 404, 409, 422), description="Waits up to `wait_seconds` (60 at most) "
                         "for the first run. Keep each run's `lease_token`, and name the run in every heartbeat."),
                     Role.OPERATOR),
            Endpoint("POST", f"{one}/heartbeat", self.heartbeat,
                     Doc("Worker 心跳", TAG, body=examples.HEARTBEAT, body_required=False, answer=examples.HEARD,
                         errors=(400, 401, 403, 404, 409, 422), description="Renews the leases of `current_tasks`; "
                         "stop every run that `abort` names."), Role.OPERATOR),
            Endpoint("POST", "/workers", self.register,
                     Doc("注册 Worker", TAG, body=examples.NEW_WORKER, answer=examples.REGISTERED, status=201,
                         errors=(400, 401, 403, 409, 422), description="With the `id` of an outside worker the new "
                         "process takes the former one's place. Send a heartbeat every `heartbeat_interval_seconds`: "
                         "after three that did not come the worker is offline."), Role.OPERATOR, starts_work=True),
        ]  # fmt: skip


def _leased_json(leased: lease_pb2.LeasedRun, parameters: Json) -> dict[str, Json]:
    spec = leased.spec
    return {
        "run_id": spec.run_id,
        "task_id": spec.task_id,
        "task_name": spec.task_name,
        "task_type": spec.task_type,
        "executor": spec.executor,
        "command": spec.command,
        "arguments": list(spec.arguments),
        "parameters": parameters,
        "priority": PRIORITY_WORDS.get(spec.priority, "normal"),
        "attempt": leased.attempt,
        "lease_token": str(leased.token),
        "lease_expires_at": iso_seconds(leased.expires_ms),
        "timeout_seconds": spec.timeout_ms / 1000 if spec.timeout_ms % 1000 else spec.timeout_ms // 1000,
    }


def _run_ids(fields: Fields) -> list[int]:
    value = fields.raw.get("current_tasks")
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid("current_tasks", "array", "必须是数组", value)
    if len(value) > MAX_CURRENT:
        raise invalid("current_tasks", "max_items", f"最多{MAX_CURRENT}项", len(value))
    for index, entry in enumerate(value):
        if type(entry) is not int or not 0 < entry <= MAX_ID:
            raise invalid(f"current_tasks[{index}]", "integer", "必须是正整数", entry)
    return value


def _number(fields: Fields, name: str, low: float, high: float, default: float) -> float:
    value = fields.raw.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not math.isfinite(value):
        raise invalid(name, "number", "必须是数字", value if type(value) is not float else None)
    if not low <= value <= high:
        raise invalid(name, "range", f"必须在{low}到{high}之间", value)
    return float(value)


async def _unless_gone(call: Call, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` answers; it is cancelled when the client goes away. The body has been read."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(call.gone())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
