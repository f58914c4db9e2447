"""Definitions, schedules and workers of the task management contract. Owns: their endpoints. Must not know how any is
kept.
"""

from typing import Any

import orjson
from chassis.errors import NotFound
from trawl.scheduler.v1 import tasks_pb2
from trawl.workerregistry.v1 import workers_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.commands import NEEDS_KEY, require_operator, runs_commands
from gateway.definitions import check_definition
from gateway.exchange import Answer, Call
from gateway.executor_names import check_executor
from gateway.management import examples, translate
from gateway.management.request import changed_schedule, new_task, query_of, task_name_of, with_total
from gateway.masking import veil_of
from gateway.routing import Doc, Endpoint

Json = Any
UPCOMING = 10
WORKER_STATUSES = ("active", "draining", "offline")
TAG = "scheduling"


class TaskRoutes:
    """Handlers of `POST /tasks`, `/tasks/{taskName}/schedule` and `/workers`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(self, call: Call) -> Answer:
        """Define a task."""
        task = new_task(await read_object(call))
        if runs_commands(task):
            require_operator(call)
        await check_executor(self._backend, task.executor, "executor")
        await check_definition(self._backend, task, "params")
        created = await self._backend.task(self._backend.tasks.CreateTask, tasks_pb2.CreateTaskRequest(task=task))
        shown = translate.task_json(created)
        veil = veil_of(call)
        return Answer.json(shown | veil.definition({name: shown[name] for name in translate.DEFINING}), 201)

    async def schedule(self, call: Call) -> Answer:
        """Show when a task runs by itself."""
        return await self._schedule_of(await self._task(call))

    async def set_schedule(self, call: Call) -> Answer:
        """Change when a task runs by itself."""
        raw = await read_object(call)
        task = await self._task(call)
        if runs_commands(task):
            require_operator(call)
        change, members = changed_schedule(raw, orjson.loads(task.metadata_json or b"{}"))
        request = tasks_pb2.UpdateTaskRequest(id=task.id, task=change, fields=members)
        updated = await self._backend.task(self._backend.tasks.UpdateTask, request)
        updated.last_run_ms = task.last_run_ms
        return await self._schedule_of(updated)

    async def _task(self, call: Call) -> tasks_pb2.Task:
        name = task_name_of(call)
        try:
            detail = await self._backend.task(self._backend.tasks.GetTask, tasks_pb2.GetTaskRequest(name=name))
        except NotFound as error:
            raise NotFound(f"任务不存在: {name}", field="taskName") from error
        task: tasks_pb2.Task = detail.task
        return task

    async def _schedule_of(self, task: tasks_pb2.Task) -> Answer:
        preview = tasks_pb2.SchedulePreview(misfire="once", overlap="skip")
        if task.schedule:
            request = tasks_pb2.SchedulePreviewRequest(task_id=task.id, n=UPCOMING)
            preview = await self._backend.task(self._backend.tasks.GetSchedulePreview, request)
        return Answer.json(translate.schedule_json(task, preview))

    async def workers(self, call: Call) -> Answer:
        """List workers."""
        query = query_of(call)
        request = workers_pb2.ListWorkersRequest(
            status=query.choice("status", WORKER_STATUSES),
            task_type=query.text("taskType", 64),
            offset=query.integer("offset", 0, 1_000_000, 0),
            limit=query.integer("limit", 1, 1_000, 100),
        )
        answer = await self._backend.worker(self._backend.workers.ListWorkers, request)
        return with_total([translate.worker_json(worker) for worker in answer.workers], answer.total)

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        schedule = "/tasks/{task_name}/schedule"
        return [
            Endpoint("POST", "/tasks", self.create,
                     Doc("定义任务", TAG, body=examples.NEW_TASK, answer=examples.TASK, status=201,
                         errors=(400, 401, 403, 409), description=NEEDS_KEY),
                     Role.OPERATOR, starts_work=True),
            Endpoint("GET", schedule, self.schedule,
                     Doc("获取任务调度", TAG, answer=examples.SCHEDULE, errors=(404,)), Role.VIEWER),
            Endpoint("PUT", schedule, self.set_schedule,
                     Doc("设置任务调度", TAG, body=examples.NEW_SCHEDULE, answer=examples.SCHEDULE,
                         errors=(400, 401, 403, 404, 409), description=NEEDS_KEY), Role.OPERATOR),
            Endpoint("GET", "/workers", self.workers,
                     Doc("获取 Worker 列表", TAG, answer=examples.WORKERS,
                         query=[("status", "string", "active | draining | offline"),
                                ("taskType", "string", "队列"), ("limit", "integer", "1-1000"),
                                ("offset", "integer", "跳过的数量")], errors=(400,)), Role.VIEWER),
        ]  # fmt: skip
