"""Tasks of the XGet contract. Owns: their endpoints, and which state allows what. Must not know how tasks are kept."""

import asyncio
import secrets
from typing import Any

from chassis.errors import Conflict, NotFound, Unavailable
from trawl.scheduler.v1 import runs_pb2, standings_pb2, tasks_pb2
from trawl.scraper.v1 import collections_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.exchange import Answer, Call
from gateway.masking import holds_hidden, restored, veil_of
from gateway.routing import Doc, Endpoint
from gateway.xget import examples
from gateway.xget.errors import Refused, no_task
from gateway.xget.ids import task_id_of, task_number
from gateway.xget.models import (
    TaskChange,
    TaskQuery,
    canonical_type,
    check_parameters,
    read_body,
    read_query,
    read_task,
    read_tasks,
)
from gateway.xget.reading import json_of, query_of, standing_of
from gateway.xget.translate import (
    CONTRACT,
    STATES,
    given_of,
    metadata_of,
    new_standing,
    page_json,
    plain_text,
    task_json,
)

Json = Any
TAG = "tasks"
LIVE = standings_pb2.Standing.STATE_LIVE
# A worker ends a run within seconds; a worker that died keeps its lease a little longer.
STOP_WAIT_MS = 15_000
UPDATE_TRIES = 3
# What one of many tasks may take on a machine that is very busy. Whoever is told that it took too long can't know
# whether they are there.
CREATE_SECONDS = 0.025
MAX_LIVE_RUNS = 100


class TaskRoutes:
    """Handlers of `/tasks`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(self, call: Call) -> Answer:
        """Create a task."""
        (standing,) = await self._create([read_task(await json_of(call))])
        return Answer.json(_seen(call, standing), 201)

    async def create_batch(self, call: Call) -> Answer:
        """Create all tasks or none."""
        standings = await self._create(read_tasks(await json_of(call)))
        return Answer.json([_seen(call, standing) for standing in standings])

    async def _create(self, tasks: list[Any]) -> list[standings_pb2.Standing]:
        if not tasks:
            return []
        request = standings_pb2.CreateTasksRequest(tasks=[new_standing(*task) for task in tasks])
        create = self._backend.standings.CreateTasks
        answer = await self._backend.task(create, request, extra_seconds=len(tasks) * CREATE_SECONDS)
        return list(answer.standings)

    async def list_tasks(self, call: Call) -> Answer:
        """List tasks, newest first."""
        query = read_query(TaskQuery, query_of(call))
        skip = (query.page - 1) * query.size
        request = standings_pb2.ListStandingsRequest(
            contract=CONTRACT,
            owner=query.user_id or "",
            task_type=canonical_type(query.task_type or ""),
            state=STATES[query.status] if query.status else standings_pb2.Standing.STATE_UNSPECIFIED,
            offset=skip,
            limit=query.size,
        )
        answer = await self._backend.task(self._backend.standings.ListStandings, request)
        items = [_seen(call, standing) for standing in answer.standings]
        return Answer.json(page_json(items, answer.total, skip=skip, size=query.size))

    async def detail(self, call: Call) -> Answer:
        """Show a task."""
        return Answer.json(_seen(call, await self._standing(call)))

    async def _standing(self, call: Call) -> standings_pb2.Standing:
        return await standing_of(self._backend, call.path_params["task_id"])

    async def update(self, call: Call) -> Answer:
        """Change a task. While it runs, only its names."""
        change = read_body(TaskChange, await json_of(call))
        hidden = change.parameters is not None and holds_hidden(change.parameters)
        for attempt in range(UPDATE_TRIES):
            standing = await self._standing(call)
            if hidden:
                change.parameters = restored(change.parameters, given_of(standing).parameters, field="parameters")
                hidden = False
            try:
                await self._apply(standing, change, rename=attempt == 0)
                break
            except Conflict:
                # Somebody else was faster, or the scheduler must keep the name: then only ours changes.
                if attempt == UPDATE_TRIES - 1:
                    raise
        if change.status == "PENDING":
            await self._rearm(standing.task.id)
        return Answer.json(_seen(call, await self._standing(call)))

    async def _rearm(self, number: int) -> None:
        try:
            await self._backend.task(self._backend.standings.Rearm, standings_pb2.RearmRequest(task_id=number))
        except Conflict as error:
            raise Refused("Task is running") from error

    async def _apply(self, standing: standings_pb2.Standing, change: TaskChange, *, rename: bool) -> None:
        given, sent = given_of(standing), change.model_fields_set
        others = _other_changes(standing, change)
        if standing.state == LIVE and others:
            raise Refused(f"Task is running: {others[0]} cannot be changed")
        if change.status not in (None, "PENDING", task_json(standing)["status"]):
            raise Refused("Task status can only be set to PENDING")
        if change.task_type is not None and canonical_type(change.task_type) != standing.task.task_type:
            raise Refused("Task type cannot be changed")
        parameters = check_parameters(standing.task.task_type, change.parameters or given.parameters)
        fields = ["description", "metadata_json"]
        task = tasks_pb2.Task()
        if change.task_name is not None and change.task_name != given.task_name:
            given.task_name = change.task_name
            if rename:
                task.name, fields = change.task_name, [*fields, "name"]
        for name in ("describe", "account_id", "proxy_id"):
            if name in sent:
                setattr(given, name, getattr(change, name))
        if change.parameters is not None:
            given.parameters = change.parameters
        task.description = plain_text(given.describe)
        task.metadata_json = given.metadata(metadata_of(standing), parameters)
        if task.metadata_json == standing.task.metadata_json and len(fields) == 2:
            return
        request = tasks_pb2.UpdateTaskRequest(id=standing.task.id, task=task, fields=fields)
        await self._backend.task(self._backend.tasks.UpdateTask, request)

    async def delete(self, call: Call) -> Answer:
        """Delete a task and what it has found, after stopping it. Repeated after a failure, it goes on."""
        number = task_number(call.path_params["task_id"])
        try:
            standing = await self._standing(call)
        except NotFound:
            if number and await self._drop(number):
                return Answer.json(examples.DELETED)
            raise
        if standing.state == LIVE:
            await self._stop_runs(number)
            if (await self._standing(call)).state == LIVE:
                raise Unavailable("Task is still being stopped", retry_after_seconds=5)
        try:
            request = tasks_pb2.DeleteTaskRequest(id=number)
            await self._backend.task(self._backend.tasks.DeleteTask, request)
        except NotFound as error:
            raise no_task() from error
        await self._drop(number)
        return Answer.json(examples.DELETED)

    async def _drop(self, number: int) -> bool:
        request = collections_pb2.DropCollectionRequest(task_id=number)
        answer = await self._backend.result(self._backend.collections.DropCollection, request)
        return bool(answer.dropped)

    async def start(self, call: Call) -> Answer:
        """Start a task; one run of it at a time."""
        standing = await self._standing(call)
        if standing.state == LIVE:
            raise Refused("Task is already running")
        number = standing.task.id
        run = runs_pb2.StartRun(
            task_id=number,
            contract=CONTRACT,
            # Another start while this run lives is a clash, whoever is faster.
            external_id=task_id_of(number),
            request_digest=secrets.token_hex(16),
        )
        try:
            await self._backend.start(run)
        except Conflict as error:
            raise Refused("Task is already running") from error
        except NotFound as error:
            raise no_task() from error
        return Answer.json(_seen(call, await self._standing(call), status="RUNNING"))

    async def stop(self, call: Call) -> Answer:
        """Stop a task's run; answers once nothing of it is left, or with `RUNNING` when that takes long."""
        standing = await self._standing(call)
        if standing.state != LIVE:
            raise Refused("Task is not running")
        await self._stop_runs(standing.task.id)
        return Answer.json(_seen(call, await self._standing(call)))

    async def _stop_runs(self, number: int) -> None:
        runs = self._backend.runs
        for status in (runs_pb2.RUN_STATUS_PENDING, runs_pb2.RUN_STATUS_RUNNING):
            request = runs_pb2.ListRunsRequest(task_id=number, status=status, limit=MAX_LIVE_RUNS)
            found = await self._backend.run(runs.ListRuns, request)
            await asyncio.gather(*(self._abort(run.spec.run_id) for run in found.runs))

    async def _abort(self, run_id: int) -> None:
        request = runs_pb2.AbortRunRequest(run_id=run_id, wait_ms=STOP_WAIT_MS)
        try:
            await self._backend.run(self._backend.runs.AbortRun, request, extra_seconds=STOP_WAIT_MS / 1000)
        except (Conflict, NotFound):
            return  # it has ended by itself

    def endpoints(self) -> list[Endpoint]:
        """All of them, those with a name before those with an id."""
        one = "/tasks/{task_id}"
        return [
            Endpoint("POST", "/tasks", self.create,
                     Doc("创建任务", TAG, body=examples.NEW_TASK, answer=examples.TASK, status=201, errors=(422,),
                         description="`parameters` by `task_type`: USER_TWEETS, USER_INFO, KEYWORD_SEARCH, "
                         "HASHTAG_SEARCH, USER_FOLLOWERS, USER_FOLLOWING."), Role.OPERATOR, starts_work=True),
            Endpoint("GET", "/tasks", self.list_tasks,
                     Doc("获取任务列表", TAG, answer=examples.page_of(examples.TASK), query=examples.TASK_QUERY,
                         errors=(422,)), Role.VIEWER),
            Endpoint("POST", "/tasks/batch", self.create_batch,
                     Doc("批量创建任务", TAG, body=[examples.NEW_TASK], answer=[examples.TASK], errors=(422,),
                         description="All or none, at most 1,000."), Role.OPERATOR, starts_work=True),
            Endpoint("GET", one, self.detail,
                     Doc("获取任务详情", TAG, answer=examples.TASK, errors=(404,)), Role.VIEWER),
            Endpoint("PUT", one, self.update,
                     Doc("更新任务", TAG, body=examples.CHANGE, answer=examples.TASK, errors=(400, 404, 422),
                         description="`status` may only be set to `PENDING`. While the task runs, only `task_name` and "
                         "`describe` can be changed."), Role.OPERATOR),
            Endpoint("DELETE", one, self.delete,
                     Doc("删除任务", TAG, answer=examples.DELETED, errors=(400, 404, 503)), Role.OPERATOR),
            Endpoint("POST", f"{one}/start", self.start,
                     Doc("启动任务", TAG, answer=examples.TASK | {"status": "RUNNING"}, errors=(400, 404)),
                     Role.OPERATOR, starts_work=True),
            Endpoint("POST", f"{one}/stop", self.stop,
                     Doc("停止任务", TAG, answer=examples.TASK | {"status": "STOPPED"}, errors=(400, 404)),
                     Role.OPERATOR),
        ]  # fmt: skip


def _seen(call: Call, standing: standings_pb2.Standing, *, status: str = "") -> dict[str, Json]:
    """The task, without the secrets that its parameters may hold for whoever may not see them."""
    given = given_of(standing).parameters
    return veil_of(call, None, given).run(task_json(standing, status=status), "parameters")


def _other_changes(standing: standings_pb2.Standing, change: TaskChange) -> list[str]:
    """What would change besides the names; a field that is sent as it is changes nothing."""
    given = given_of(standing)
    changed = []
    if change.parameters is not None and change.parameters != given.parameters:
        changed.append("parameters")
    changed += [
        name
        for name in ("account_id", "proxy_id")
        if name in change.model_fields_set and getattr(change, name) != getattr(given, name)
    ]
    if change.status is not None and change.status != task_json(standing)["status"]:
        changed.append("status")
    return changed
