"""Workers of the scheduler contract. Owns: their endpoints. Must not know how workers are kept."""

import asyncio
import time
from typing import Any

import orjson
from chassis.errors import Forbidden
from trawl.scheduler.v1 import runs_pb2
from trawl.workerregistry.v1 import workers_pb2
from wire.subjects import OUTSIDE_SESSION

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import Fields, check_text
from gateway.exchange import Answer, Call
from gateway.native import examples
from gateway.native.envelope import Page, ascending, ok, query_of
from gateway.native.translate import RUN_STATUS_WORDS, execution_seconds, raw_json, worker_item, worker_json
from gateway.routing import Doc, Endpoint
from gateway.times import duration_words, iso_seconds

Json = Any
STATUSES = ("active", "draining", "offline")
# The contract's default is `created_at`, which a worker does not have: it means the registration.
SORTS = {
    "created_at": "registered_at",
    "registered_at": "registered_at",
    "hostname": "hostname",
    "last_heartbeat": "last_heartbeat",
    "status": "status",
}
MAX_CURRENT = 100
AVERAGE_OVER_RUNS = 100
TAG = "workers"


class WorkerRoutes:
    """Handlers of `/workers`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list_workers(self, call: Call) -> Answer:
        """List workers."""
        query = query_of(call)
        page = Page(query)
        request = workers_pb2.ListWorkersRequest(
            status=query.choice("status", STATUSES),
            task_type=query.text("task_type"),
            hostname=query.text("hostname"),
            sort=SORTS[query.choice("sort", SORTS, "created_at")],
            ascending=ascending(query),
            offset=page.offset,
            limit=page.size,
        )
        answer = await self._backend.worker(self._backend.workers.ListWorkers, request)
        return page.answer(call, [worker_item(worker) for worker in answer.workers], answer.total)

    async def detail(self, call: Call) -> Answer:
        """Show a worker, what it does now and what it has done."""
        request = workers_pb2.GetWorkerRequest(id=worker_id_of(call))
        worker = await self._backend.worker(self._backend.workers.GetWorker, request)
        running, completed, failed, total = await asyncio.gather(
            self._runs_of(worker.id, runs_pb2.RUN_STATUS_RUNNING, MAX_CURRENT),
            self._runs_of(worker.id, runs_pb2.RUN_STATUS_COMPLETED, AVERAGE_OVER_RUNS),
            self._runs_of(worker.id, runs_pb2.RUN_STATUS_FAILED, 1),
            self._runs_of(worker.id, runs_pb2.RUN_STATUS_UNSPECIFIED, 1),
        )
        seconds = [taken for run in completed.runs if (taken := execution_seconds(run)) is not None]
        data = worker_item(worker) | {
            "metadata": raw_json(worker.metadata_json, {}),
            "current_tasks": [_current_json(run) for run in running.runs],
            "statistics": {
                "total_tasks_executed": total.total - running.total,
                "successful_tasks": completed.total,
                "failed_tasks": failed.total,
                "average_execution_time": round(sum(seconds) / len(seconds), 3) if seconds else 0.0,
                "uptime": duration_words(time.time() - worker.registered_ms / 1000),
            },
        }
        return ok(call, data)

    async def _runs_of(
        self, worker_id: str, status: "runs_pb2.RunStatus.ValueType", limit: int
    ) -> runs_pb2.ListRunsResponse:
        request = runs_pb2.ListRunsRequest(worker_id=worker_id, status=status, limit=limit)
        answer: runs_pb2.ListRunsResponse = await self._backend.run(self._backend.runs.ListRuns, request)
        return answer

    async def update(self, call: Call) -> Answer:
        """Change what is given."""
        fields = Fields(await read_object(call))
        worker = workers_pb2.Worker(
            max_concurrent_tasks=fields.integer("max_concurrent_tasks", 1, 10_000, 1),
            task_types=fields.texts("task_types", items=100, limit=64),
            status=fields.choice("status", STATUSES, ""),
            metadata_json=orjson.dumps(fields.mapping("metadata")),
        )
        members = {
            "max_concurrent_tasks": "max_concurrent_tasks",
            "task_types": "task_types",
            "status": "status",
            "metadata": "metadata_json",
        }
        request = workers_pb2.UpdateWorkerRequest(
            id=worker_id_of(call),
            worker=worker,
            fields=[member for name, member in members.items() if fields.given(name)],
        )
        updated = await self._backend.worker(self._backend.workers.UpdateWorker, request)
        return ok(call, worker_json(updated) | {"metadata": raw_json(updated.metadata_json, {})})

    async def delete(self, call: Call) -> Answer:
        """Take a worker off the register."""
        worker_id = worker_id_of(call)
        if call.principal.role < Role.ADMIN:
            # A program takes itself off when it ends; Trawl's own workers are administrators' business.
            request = workers_pb2.GetWorkerRequest(id=worker_id)
            worker = await self._backend.worker(self._backend.workers.GetWorker, request)
            if not worker.session.startswith(OUTSIDE_SESSION):
                raise Forbidden("权限不足: 需要 admin 角色", rule="role", value=call.principal.role.label)
        await self._backend.worker(self._backend.workers.Deregister, workers_pb2.DeregisterRequest(id=worker_id))
        return ok(call, {"message": "Worker 注销成功", "worker_id": worker_id})

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        one = "/workers/{worker_id}"
        return [
            Endpoint("GET", "/workers", self.list_workers,
                     Doc("获取 Worker 列表", TAG, answer=examples.WORKER_LIST, query=examples.WORKER_QUERY,
                         errors=(401, 422)), Role.VIEWER),
            Endpoint("GET", one, self.detail,
                     Doc("获取 Worker 详情", TAG, answer=examples.WORKER_DETAIL, errors=(401, 404)), Role.VIEWER),
            Endpoint("PUT", one, self.update,
                     Doc("更新 Worker", TAG, body=examples.WORKER_CHANGE, answer=examples.WORKER,
                         errors=(400, 401, 403, 404, 422)), Role.ADMIN),
            Endpoint("DELETE", one, self.delete,
                     Doc("注销 Worker", TAG, answer=examples.WORKER_DELETED, errors=(401, 403, 404),
                         description="A worker that came by REST may be taken off by an operator too."),
                     Role.OPERATOR),
        ]  # fmt: skip


def worker_id_of(call: Call) -> str:
    """The id in the path."""
    return check_text("id", call.path_params["worker_id"], 128, one_line=True)


def _current_json(run: runs_pb2.Run) -> dict[str, Json]:
    return {
        "run_id": run.spec.run_id,
        "task_id": run.spec.task_id,
        "task_name": run.spec.task_name,
        "started_at": iso_seconds(run.started_ms),
        "status": RUN_STATUS_WORDS.get(run.status, "running"),
    }
