"""The pipeline contract's endpoints. Must not know how runs, papers or indexes are kept."""

from typing import Any

import orjson
from chassis.errors import Conflict, NotFound
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import papers_pb2
from wire.subjects import PIPELINE, project_scope

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import QueryFields, invalid, path_id
from gateway.exchange import Answer, Call
from gateway.masking import veil_of
from gateway.pipeline import examples
from gateway.pipeline.request import MAX_PROJECT, parse_task
from gateway.pipeline.translate import (
    STATUSES,
    CannotCancel,
    envelope,
    hit_json,
    new_task_json,
    paper_json,
    task_detail,
    task_json,
    task_type_of,
)
from gateway.routing import Doc, Endpoint
from gateway.walks import Walks

Json = Any
TAG, PROJECTS = "tasks", "projects"
DEFAULT_LIMIT, MAX_LIMIT = 50, 1_000
MAX_OFFSET = 10**9
MAX_QUERY = 1_000
# How long a cancellation waits for the proof that nothing of the task is left.
CANCEL_WAIT_MS = 5_000
# Parameters above this are not repeated in a task's detail.
MAX_SHOWN_PARAMETERS = 4 * 1024 * 1024


class PipelineRoutes:
    """Handlers."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks = backend, walks

    async def list_tasks(self, call: Call) -> Answer:
        """List tasks, the newest first."""
        query = _query_of(call)
        project_id = query.integer("project_id", 1, MAX_PROJECT, 0)
        status = query.choice("status", STATUSES)
        request = runs_pb2.ListRunsRequest(
            scope=project_scope(project_id) if project_id else PIPELINE,
            limit=query.integer("limit", 1, MAX_LIMIT, DEFAULT_LIMIT),
        )
        if status:
            request.status = STATUSES[status]
        self._walks.enter(request, query.raw)
        answer = await self._backend.run(self._backend.runs.ListRuns, request)
        return envelope([task_json(run) for run in answer.runs], headers=self._walks.header(request, answer))

    async def create(self, call: Call) -> Answer:
        """Start a task."""
        task = parse_task(await read_object(call))
        run = await self._backend.start(task.start())
        shown = new_task_json(run, task.project_id, task.task_type, task.params)
        return envelope(veil_of(call, run).run(shown, "params"), status=201, message="Task created")

    async def detail(self, call: Call) -> Answer:
        """Show a task in full."""
        run = await self._task(call)
        return envelope(veil_of(call, run).run(task_detail(run, await self._params(run)), "params"))

    async def cancel(self, call: Call) -> Answer:
        """Stop a task, and wait a little for the proof that nothing of it is left."""
        run = await self._task(call)
        request = runs_pb2.AbortRunRequest(run_id=run.spec.run_id, wait_ms=CANCEL_WAIT_MS)
        try:
            ended = await self._backend.run(self._backend.runs.AbortRun, request, extra_seconds=CANCEL_WAIT_MS / 1000)
        except Conflict as error:
            raise CannotCancel from error
        if ended.status in (runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED):
            raise CannotCancel
        return envelope(None, message="Task cancelled")

    async def papers(self, call: Call) -> Answer:
        """What a project's searches have imported, the newest first."""
        query = _query_of(call)
        request = papers_pb2.ListPapersRequest(
            project_id=_project(call),
            limit=query.integer("limit", 1, MAX_LIMIT, DEFAULT_LIMIT),
            offset=query.integer("offset", 0, MAX_OFFSET, 0),
        )
        answer = await self._backend.result(self._backend.papers.ListPapers, request)
        return envelope([paper_json(paper) for paper in answer.papers], headers=_total(answer.total))

    async def search(self, call: Call) -> Answer:
        """Search a project's index."""
        query = _query_of(call)
        words = query.text("q", MAX_QUERY).strip()
        if not words:
            raise invalid("q", "required", "是必填项")
        request = papers_pb2.SearchPapersRequest(
            project_id=_project(call),
            query=words,
            limit=query.integer("limit", 1, MAX_LIMIT, DEFAULT_LIMIT),
            offset=query.integer("offset", 0, MAX_OFFSET, 0),
        )
        answer = await self._backend.result(self._backend.papers.SearchPapers, request)
        message = "success" if answer.indexed_ms else "the project has no index yet: run an index task"
        return envelope([hit_json(hit) for hit in answer.hits], message=message, headers=_total(answer.total))

    async def _task(self, call: Call) -> runs_pb2.Run:
        """The run of the path's id. Raises `NotFound`, also for a run that is no pipeline task."""
        task_id = path_id("id", call.path_params["id"])
        try:
            run: runs_pb2.Run = await self._backend.run(
                self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=task_id)
            )
        except NotFound as error:
            raise NotFound("任务不存在", field="id") from error
        if task_type_of(run) is None:
            raise NotFound("任务不存在", field="id")
        return run

    async def _params(self, run: runs_pb2.Run) -> Json:
        """What the task was started with, without the project, which stands beside."""
        raw = run.spec.parameters_json
        if run.spec.parameters_by_reference:
            parts = []
            size = 0
            request = runs_pb2.GetParametersRequest(run_id=run.spec.run_id)
            async for chunk in self._backend.scheduler.stream(self._backend.runs.GetParameters, request, timeout=10):
                parts.append(chunk.data)
                size += len(chunk.data)
                if size > MAX_SHOWN_PARAMETERS:
                    return {"truncated": True, "reason": f"params are larger than {MAX_SHOWN_PARAMETERS} bytes"}
            raw = b"".join(parts)
        params = orjson.loads(raw) if raw else {}
        return {name: value for name, value in params.items() if name != "project_id"}

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        one = "/tasks/{id}"
        return [
            Endpoint("GET", "/tasks", self.list_tasks,
                     Doc("任务列表", TAG, answer=examples.TASK_LIST, query=examples.LIST_QUERY, errors=(422,)),
                     Role.VIEWER),
            Endpoint("POST", "/tasks", self.create,
                     Doc("创建任务", TAG, body=examples.NEW_TASK, answer=examples.CREATED, status=201, errors=(422,)),
                     Role.OPERATOR, starts_work=True),
            Endpoint("GET", one, self.detail,
                     Doc("任务详情", TAG, answer=examples.DETAIL, errors=(404,)), Role.VIEWER),
            Endpoint("POST", f"{one}/cancel", self.cancel,
                     Doc("取消运行中的任务", TAG, answer=examples.CANCELLED, errors=(400, 404),
                         description="Answers once nothing of the task is left, at most after five seconds."),
                     Role.OPERATOR),
            Endpoint("GET", "/projects/{id}/papers", self.papers,
                     Doc("项目的论文", PROJECTS, answer=examples.PAPERS, query=examples.PAGE_QUERY, errors=(422,),
                         description="`X-Total-Count` says how many there are."), Role.VIEWER),
            Endpoint("GET", "/projects/{id}/search", self.search,
                     Doc("全文检索", PROJECTS, answer=examples.HITS, query=examples.SEARCH_QUERY, errors=(422,),
                         description="Ranked by BM25. `highlights` is HTML with the words found in `<em>`; "
                         "`X-Total-Count` says how many papers match."), Role.VIEWER),
        ]  # fmt: skip


def _project(call: Call) -> int:
    project_id = path_id("id", call.path_params["id"])
    if project_id > MAX_PROJECT:
        raise invalid("id", "max", f"不能大于{MAX_PROJECT}", project_id)
    return project_id


def _total(count: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-total-count", str(count).encode()),)


def _query_of(call: Call) -> QueryFields:
    return QueryFields(call.query)
