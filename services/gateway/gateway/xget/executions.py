"""Executions of the XGet contract. Owns: their endpoints. Must not know how runs are kept."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from chassis.errors import NotFound
from trawl.scheduler.v1 import runs_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.exchange import Answer, Call
from gateway.masking import veil_of
from gateway.routing import Doc, Endpoint
from gateway.walks import Walks
from gateway.xget import examples
from gateway.xget.download import Download
from gateway.xget.errors import EXECUTION_NOT_FOUND
from gateway.xget.ids import execution_number, task_number
from gateway.xget.models import ExecutionQuery, read_query
from gateway.xget.reading import query_of, standing_of
from gateway.xget.translate import CONTRACT, RUN_STATUSES, execution_json, page_json

Json = Any
TAG = "task-executions"
HISTORY_PAGE = 500


class ExecutionRoutes:
    """Handlers of `/task-executions`."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks = backend, walks

    async def list_executions(self, call: Call) -> Answer:
        """List executions, newest first."""
        raw = query_of(call)
        query = read_query(ExecutionQuery, raw)
        skip = (query.page - 1) * query.size
        request = runs_pb2.ListRunsRequest(contract=CONTRACT, offset=skip, limit=query.size)
        if query.status:
            request.status = RUN_STATUSES[query.status]
        if query.task_id is not None and not await self._narrow(request, query.task_id):
            return Answer.json(page_json([], 0, skip=skip, size=query.size))
        self._walks.enter(request, raw)
        found = await self._backend.run(self._backend.runs.ListRuns, request)
        items = [veil_of(call, run).run(execution_json(run)) for run in found.runs]
        page = page_json(items, found.total, skip=skip, size=query.size)
        return Answer(orjson.dumps(page), headers=self._walks.header(request, found))

    async def _narrow(self, request: runs_pb2.ListRunsRequest, public_id: str) -> bool:
        """Ask for one task's executions; of a task that is there, also those that other contracts have started."""
        request.task_id = task_number(public_id)
        try:
            await standing_of(self._backend, public_id)
        except NotFound:
            return bool(request.task_id)
        request.contract = ""
        return True

    async def detail(self, call: Call) -> Answer:
        """Show an execution."""
        number = execution_number(call.path_params["execution_id"])
        try:
            run = await self._backend.run(self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=number))
        except NotFound as error:
            raise NotFound(EXECUTION_NOT_FOUND) from error
        if not (run.spec.collects or run.spec.contract == CONTRACT):
            raise NotFound(EXECUTION_NOT_FOUND)
        return Answer.json(veil_of(call, run).run(execution_json(run)))

    async def history(self, call: Call) -> Answer:
        """All executions of a task, newest first."""
        standing = await standing_of(self._backend, call.path_params["task_id"])
        return await Download.begin(call, self._pieces(call, standing.task.id))

    async def _pieces(self, call: Call, number: int) -> AsyncGenerator[bytes, None]:
        lead, after = b"[", ""
        while True:
            request = runs_pb2.ListRunsRequest(task_id=number, sort="id", after=after, limit=HISTORY_PAGE)
            found = await self._backend.run(self._backend.runs.ListRuns, request)
            if found.runs:
                yield lead + b",".join(orjson.dumps(veil_of(call, run).run(execution_json(run))) for run in found.runs)
                lead = b","
            after = found.next
            if not after:
                break
        yield b"]" if lead == b"," else b"[]"

    def endpoints(self) -> list[Endpoint]:
        """All of them, those with a name before those with an id."""
        return [
            Endpoint("GET", "/task-executions", self.list_executions,
                     Doc("获取任务执行记录", TAG, answer=examples.page_of(examples.EXECUTION),
                         query=examples.EXECUTION_QUERY, errors=(422,)), Role.VIEWER),
            Endpoint("GET", "/task-executions/task/{task_id}", self.history,
                     Doc("获取任务执行历史", TAG, answer=[examples.EXECUTION], errors=(404,)), Role.VIEWER),
            Endpoint("GET", "/task-executions/{execution_id}", self.detail,
                     Doc("获取执行详情", TAG, answer=examples.EXECUTION, errors=(404,)), Role.VIEWER),
        ]  # fmt: skip
