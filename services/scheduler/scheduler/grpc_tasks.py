"""gRPC face of tasks. Translates and delegates; no rule lives here."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.errors import InvalidInput, NotFound
from chassis.json_fields import read_object
from trawl.scheduler.v1 import tasks_pb2 as pb
from trawl.scheduler.v1 import tasks_pb2_grpc

from scheduler.change_tasks import ChangeTasks
from scheduler.mongo_fires import Fires
from scheduler.mongo_tasks import Tasks
from scheduler.preview_schedule import RECENT, fire_to_proto, preview
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO, PRIORITY_NAMES, PRIORITY_NUMBERS
from scheduler.run import Status
from scheduler.task import Task

MAX_PAGE = 1_000
LAST_STATUS = {Status.COMPLETED: "success"}
TEXT_FIELDS = ("name", "description", "task_type", "executor", "command", "schedule", "contract")
PLAIN_FIELDS = (*TEXT_FIELDS, "retry_count", "timeout_seconds")


def _priority(number: int) -> str:
    if number not in PRIORITY_NAMES:
        raise InvalidInput(f"priority must be one of {', '.join(PRIORITY_NUMBERS)}", field="priority", rule="enum")
    return PRIORITY_NAMES[number]


def _status(status: str) -> str:
    if status not in ("active", "paused"):
        raise InvalidInput("status must be active or paused", field="status", rule="enum", value=status)
    return status


READERS: dict[str, Callable[[pb.Task], Any]] = {
    **{name: attrgetter(name) for name in PLAIN_FIELDS},
    "priority": lambda task: _priority(task.priority),
    "arguments": lambda task: tuple(task.arguments) if task.has_arguments else None,
    "dependencies": lambda task: tuple(task.dependencies),
    "tags": lambda task: tuple(task.tags),
    "metadata_json": lambda task: read_object(task.metadata_json, "metadata"),
    "status": lambda task: _status(task.status),
}


def read_fields(task: pb.Task, names: Iterable[str]) -> dict[str, Any]:
    unknown = [name for name in names if name not in READERS]
    if unknown:
        raise InvalidInput(f"{unknown[0]} can't be set", field=unknown[0])
    fields = {name: READERS[name](task) for name in names}
    if "metadata_json" in fields:
        fields["metadata"] = fields.pop("metadata_json")
    return fields


def to_proto(task: Task) -> pb.Task:
    """The task on the wire."""
    return pb.Task(
        id=task.id, name=task.name, description=task.description, task_type=task.task_type, executor=task.executor,
        command=task.command, arguments=task.arguments or (), has_arguments=task.arguments is not None,
        schedule=task.schedule, priority=PRIORITY_NUMBERS[task.priority], retry_count=task.retry_count,
        timeout_seconds=task.timeout_seconds, dependencies=task.dependencies, tags=task.tags,
        metadata_json=orjson.dumps(task.metadata), status=task.status, created_ms=task.created_ms,
        updated_ms=task.updated_ms, contract=task.contract, collects=task.collects,
        next_run_ms=task.next_run_ms(now_ms()),
    )  # fmt: skip


class TaskApi(tasks_pb2_grpc.TaskServiceServicer):
    """`TaskService`."""

    def __init__(self, *, tasks: Tasks, changes: ChangeTasks, reader: ReadRuns, fires: Fires) -> None:
        self._tasks, self._changes, self._reader, self._fires = tasks, changes, reader, fires

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Any) -> pb.Task:
        """A new task; every field is taken as given."""
        fields = read_fields(request.task, [name for name in READERS if name != "status"])
        fields["contract"] = fields["contract"] or "scheduler"
        return to_proto(await self._changes.create(**fields))

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.TaskDetail:
        """One task, by id or by name."""
        if request.name:
            task = await self._tasks.by_name(request.name)
            if task is None:
                raise NotFound(f"no task is named {request.name!r}", resource="task", name=request.name)
        else:
            task = await self._tasks.get(request.id)
        detail = pb.TaskDetail(task=to_proto(task))
        newest = await self._reader.newest(task.id)
        if newest is not None:
            detail.task.last_run_ms = newest.started_ms or newest.spec.created_ms
        if request.with_statistics:
            by_status, mean_ms = await self._reader.statistics(task.id)
            completed, failed = by_status.get("completed", 0), by_status.get("failed", 0)
            statistics = detail.statistics
            statistics.total_runs = sum(by_status.values())
            statistics.successful_runs, statistics.failed_runs = completed, failed
            statistics.average_execution_seconds = mean_ms / 1000
            if newest is not None:
                last = FROM_PROTO[newest.status]
                statistics.last_execution_status = LAST_STATUS.get(last, last.value)
        return detail

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        """A page of tasks."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        tasks, total = await self._tasks.find(
            status=request.status, task_type=request.task_type, priority=PRIORITY_NAMES.get(request.priority, ""),
            search=request.search, sort=request.sort, ascending=request.ascending, offset=request.offset,
            limit=request.limit,
        )  # fmt: skip
        return pb.ListTasksResponse(tasks=[to_proto(task) for task in tasks], total=total)

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Any) -> pb.Task:
        """Change the named fields."""
        return to_proto(await self._changes.update(request.id, read_fields(request.task, request.fields)))

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: Any) -> pb.DeleteTaskResponse:
        """Delete it."""
        await self._changes.delete(request.id)
        return pb.DeleteTaskResponse()

    async def GetSchedulePreview(self, request: pb.SchedulePreviewRequest, context: Any) -> pb.SchedulePreview:
        """When the task fires next, and what an outage would make of it."""
        task = await self._tasks.get(request.task_id)
        answer = preview(task, request, now_ms())
        recent = await self._fires.of_task(task.id, offset=0, limit=RECENT)
        answer.recent.extend(map(fire_to_proto, recent))
        return answer

    async def ListFires(self, request: pb.ListFiresRequest, context: Any) -> pb.ListFiresResponse:
        """What became of a task's fire times."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        fires = await self._fires.of_task(request.task_id, offset=request.offset, limit=request.limit)
        return pb.ListFiresResponse(fires=map(fire_to_proto, fires))
