"""Tasks of the scheduler contract. Owns: their endpoints and triggering. Must not know how tasks are kept."""

from typing import Any

from chassis.errors import TrawlError
from trawl.scheduler.v1 import tasks_pb2

from gateway.access import Role
from gateway.backend import Backend, RunOrError
from gateway.bodies import decode_json, read_object
from gateway.checks import Fields, ignored, invalid, path_id
from gateway.definitions import check_definition
from gateway.exchange import Answer, Call
from gateway.executor_names import check_executor
from gateway.masking import holds_hidden
from gateway.native import examples
from gateway.native.envelope import Page, ascending, code_of, ok, query_of
from gateway.native.seen import seen_task, unhidden
from gateway.native.task_input import (
    SHOWN_FIELDS,
    STATUSES,
    TASK_FIELDS,
    TRIGGER_FIELDS,
    changed_task,
    new_task,
    start_of,
)
from gateway.native.translate import (
    PRIORITIES,
    RUN_STATUS_WORDS,
    estimated_completion,
    statistics_json,
    task_item,
    task_json,
)
from gateway.redis_idempotency import HEADER, operation_id
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds
from gateway.trigger_checks import TriggerChecks

Json = Any
SORTS = ("created_at", "updated_at", "name", "id", "priority", "status", "next_run_at")
MAX_BATCH = 10_000
# Where a task has the definition that its executor works by.
PARAMETERS = "metadata.params"
# What of a task its executor works by.
DEFINING = {"executor", "metadata_json", "command", "arguments"}
TAG = "tasks"


class TaskRoutes:
    """Handlers of `/tasks`."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._checks = backend, TriggerChecks(backend)

    async def trigger(self, call: Call) -> Answer:
        """Start one run. This is the hot path."""
        task_id = path_id("id", call.path_params["task_id"])
        body = await call.body()
        raw = _object(body) if body else {}
        start = start_of(task_id, raw)
        if raw:
            call.warnings += ignored(raw, TRIGGER_FIELDS)
            await self._checks.check([start], "parameters")
        if HEADER in call.headers:
            # Should the answer get lost on its way here, the repeat finds the run that this one started.
            start.external_id = start.request_digest = operation_id(call)
        run = await self._backend.start(start)
        return ok(
            call,
            {
                "task_id": run.spec.task_id,
                "run_id": run.spec.run_id,
                "status": RUN_STATUS_WORDS.get(run.status, "pending"),
                "worker_id": run.worker_id or None,
                "started_at": iso_seconds(run.started_ms),
                "estimated_completion": estimated_completion(run),
            },
        )

    async def trigger_batch(self, call: Call) -> Answer:
        """Start up to 10,000 runs of one task. Runs that could not be started are listed with their index."""
        task_id = path_id("id", call.path_params["task_id"])
        bodies = _batch_of(Fields(await read_object(call)))
        starts = [start_of(task_id, body) for body in bodies]
        await self._checks.check(starts, "parameters")
        answers = await self._backend.start_many(starts)
        run_ids, errors = _sort_out(answers)
        return ok(call, {"task_id": task_id, "accepted": len(run_ids), "run_ids": run_ids, "errors": errors})

    async def create(self, call: Call) -> Answer:
        """Create a task."""
        raw = await read_object(call)
        task = new_task(raw)
        call.warnings += ignored(raw, TASK_FIELDS)
        if doubt := await check_executor(self._backend, task.executor, "executor"):
            call.warnings.append(("executor", doubt))
        call.warnings += await check_definition(self._backend, task, PARAMETERS)
        created = await self._backend.task(self._backend.tasks.CreateTask, tasks_pb2.CreateTaskRequest(task=task))
        return ok(call, task_json(created), 201)

    async def list_tasks(self, call: Call) -> Answer:
        """List tasks."""
        query = query_of(call)
        page = Page(query)
        priority = query.choice("priority", PRIORITIES)
        request = tasks_pb2.ListTasksRequest(
            status=query.choice("status", STATUSES),
            task_type=query.text("task_type"),
            search=query.text("search"),
            sort=query.choice("sort", SORTS, "created_at"),
            ascending=ascending(query),
            offset=page.offset,
            limit=page.size,
        )
        if priority:
            request.priority = PRIORITIES[priority]
        answer = await self._backend.task(self._backend.tasks.ListTasks, request)
        return page.answer(call, [task_item(task) for task in answer.tasks], answer.total)

    async def detail(self, call: Call) -> Answer:
        """Show a task with its statistics."""
        request = tasks_pb2.GetTaskRequest(id=path_id("id", call.path_params["task_id"]), with_statistics=True)
        detail = await self._backend.task(self._backend.tasks.GetTask, request)
        shown = task_json(detail.task) | {"statistics": statistics_json(detail.statistics)}
        return ok(call, seen_task(call, shown))

    async def update(self, call: Call) -> Answer:
        """Change what is given."""
        task_id = path_id("id", call.path_params["task_id"])
        raw = await read_object(call)
        task, members = changed_task(await self._unshown(task_id, raw))
        call.warnings += ignored(raw, SHOWN_FIELDS)
        if doubt := await check_executor(self._backend, task.executor if "executor" in members else "", "executor"):
            call.warnings.append(("executor", doubt))
        call.warnings += await self._check_change(task_id, task, members)
        return ok(call, task_json(await self._update(task_id, task, members)))

    async def _unshown(self, task_id: int, raw: dict[str, Json]) -> dict[str, Json]:
        """What was sent, with the task's own values where it is what is shown of them."""
        if raw.get("arguments") != [] and not holds_hidden(raw):
            return raw
        found = await self._backend.task(self._backend.tasks.GetTask, tasks_pb2.GetTaskRequest(id=task_id))
        return unhidden(raw, found.task)

    async def _check_change(self, task_id: int, task: tasks_pb2.Task, members: list[str]) -> list[tuple[str, str]]:
        changed = DEFINING.intersection(members)
        if not changed:
            return []
        known = task
        if changed != DEFINING:
            found = await self._backend.task(self._backend.tasks.GetTask, tasks_pb2.GetTaskRequest(id=task_id))
            known = found.task
        whole = {member: getattr(task if member in changed else known, member) for member in DEFINING}
        return await check_definition(self._backend, tasks_pb2.Task(**whole), PARAMETERS)

    async def pause(self, call: Call) -> Answer:
        """Stop starting runs by schedule and dependency."""
        return await self._set_status(call, "paused")

    async def resume(self, call: Call) -> Answer:
        """Start runs again."""
        return await self._set_status(call, "active")

    async def _set_status(self, call: Call, status: str) -> Answer:
        task_id = path_id("id", call.path_params["task_id"])
        task = await self._update(task_id, tasks_pb2.Task(status=status), ["status"])
        return ok(call, {"id": task.id, "status": task.status, "updated_at": iso_seconds(task.updated_ms)})

    async def _update(self, task_id: int, task: tasks_pb2.Task, members: list[str]) -> tasks_pb2.Task:
        request = tasks_pb2.UpdateTaskRequest(id=task_id, task=task, fields=members)
        updated: tasks_pb2.Task = await self._backend.task(self._backend.tasks.UpdateTask, request)
        return updated

    async def delete(self, call: Call) -> Answer:
        """Delete a task."""
        task_id = path_id("id", call.path_params["task_id"])
        await self._backend.task(self._backend.tasks.DeleteTask, tasks_pb2.DeleteTaskRequest(id=task_id))
        return ok(call, {"message": "任务删除成功", "deleted_id": task_id})

    def endpoints(self) -> list[Endpoint]:
        """All of them; the busiest first, because routes are tried in order."""
        one = "/tasks/{task_id}"
        return [
            Endpoint(
                "POST", f"{one}/trigger", self.trigger,
                Doc("触发任务", TAG, body=examples.TRIGGER, body_required=False, answer=examples.TRIGGERED,
                    errors=(401, 403, 404, 422, 503),
                    description="`estimated_completion` is by the usual time of the task's runs, else by its timeout. "
                    "`ignore_dependencies: true` skips the wait for dependencies."),
                Role.OPERATOR, starts_work=True,
            ),
            Endpoint(
                "POST", f"{one}/trigger/batch", self.trigger_batch,
                Doc("批量触发任务", TAG, body=examples.TRIGGER_BATCH, answer=examples.TRIGGERED_BATCH,
                    errors=(401, 403, 404, 422, 503),
                    description='`{"count": n}` or `{"runs": [{"parameters": {}}]}`, at most 10,000. Each run is '
                    "accepted or refused by itself; the answer is an error only when none was accepted."),
                Role.OPERATOR, starts_work=True,
            ),
            Endpoint("POST", "/tasks", self.create,
                     Doc("创建任务", TAG, body=examples.NEW_TASK, answer=examples.TASK, status=201,
                         errors=(400, 401, 403, 409, 422)), Role.OPERATOR, starts_work=True),
            Endpoint("GET", "/tasks", self.list_tasks,
                     Doc("获取任务列表", TAG, answer=examples.TASK_LIST, query=examples.TASK_QUERY,
                         errors=(401, 422)), Role.VIEWER),
            Endpoint("GET", one, self.detail,
                     Doc("获取任务详情", TAG, answer=examples.TASK_DETAIL, errors=(401, 404)), Role.VIEWER),
            Endpoint("PUT", one, self.update,
                     Doc("更新任务", TAG, body=examples.NEW_TASK, answer=examples.TASK,
                         errors=(400, 401, 403, 404, 409, 422)), Role.OPERATOR),
            Endpoint("DELETE", one, self.delete,
                     Doc("删除任务", TAG, answer=examples.TASK_DELETED, errors=(401, 403, 404, 409)), Role.OPERATOR),
            Endpoint("POST", f"{one}/pause", self.pause,
                     Doc("暂停任务", TAG, answer=examples.TASK_PAUSED, errors=(401, 403, 404)), Role.OPERATOR),
            Endpoint("POST", f"{one}/resume", self.resume,
                     Doc("恢复任务", TAG, answer=examples.TASK_PAUSED, errors=(401, 403, 404)), Role.OPERATOR),
        ]  # fmt: skip


def _object(body: bytes) -> dict[str, Json]:
    if not body.strip():
        return {}
    value = decode_json(body)
    if not isinstance(value, dict):
        raise invalid("body", "object", "必须是JSON对象", value)
    return value


def _batch_of(fields: Fields) -> list[dict[str, Json]]:
    runs = fields.raw.get("runs")
    if runs is None:
        fields.require("count")
        return [{}] * fields.integer("count", 1, MAX_BATCH, 1)
    if not isinstance(runs, list):
        raise invalid("runs", "array", "必须是数组", runs)
    if not 0 < len(runs) <= MAX_BATCH:
        raise invalid("runs", "max_items", f"必须有1到{MAX_BATCH}项", len(runs))
    for index, run in enumerate(runs):
        if not isinstance(run, dict):
            raise invalid(f"runs[{index}]", "object", "必须是对象", run)
    return runs


def _sort_out(answers: list[RunOrError]) -> tuple[list[int], list[Json]]:
    run_ids: list[int] = []
    errors: list[Json] = []
    first: TrawlError | None = None
    for index, answer in enumerate(answers):
        if isinstance(answer, TrawlError):
            first = first or answer
            errors.append({"index": index, "code": code_of(answer), "message": answer.message})
        else:
            run_ids.append(answer.spec.run_id)
    if first is not None and not run_ids:
        raise first
    return run_ids, errors
