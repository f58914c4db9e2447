"""Executions of the task management contract: start, watch, cancel. Owns: their endpoints. Must not know how they are
kept.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from chassis.errors import NotFound
from trawl.scheduler.v1 import queues_pb2, runs_pb2, tasks_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import QueryFields
from gateway.exchange import Answer, Call
from gateway.management import examples, translate
from gateway.management.command_keys import check_start
from gateway.management.execution_id import execution_id, run_id_of
from gateway.management.request import listed, query_of, start_of, task_name_of, with_total
from gateway.masking import veil_of
from gateway.redis_idempotency import HEADER, operation_id
from gateway.routing import Doc, Endpoint
from gateway.trigger_checks import TriggerChecks
from gateway.walks import HEADER_QUERY, Walks

Json = Any
LOG_LINES = 1_000
MAX_LOG_LIMIT = 5_000
MAX_LOG_OFFSET = 10**9
# A list shows so many executions unless `limit` says otherwise, and so many log lines in all of them together.
LISTED = 100
MAX_LISTED = 1_000
LISTED_LINES = 20_000
# Every execution that has not ended is listed, up to this number.
MAX_LIVE = 2_000
LOGS_AT_ONCE = 16
# How long a cancel waits for running work to stop.
CANCEL_WAIT_MS = 2_000
CANCEL_ALL_SECONDS = 300
TAG = "executions"


class ExecutionRoutes:
    """Handlers of `/tasks/{taskName}/execute/…`, `/tasks/running/…` and `/tasks/executions/cancel/…`."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks, self._checks = backend, walks, TriggerChecks(backend)

    async def execute(self, call: Call) -> Answer:
        """Start a run of the named task."""
        start = start_of(task_name_of(call), await read_object(call, optional=True))
        await check_start(call, self._backend, start)
        await self._checks.check([start], "params")
        if HEADER in call.headers:
            start.external_id = start.request_digest = operation_id(call)
        try:
            run = await self._backend.start(start)
        except NotFound as error:
            raise NotFound(f"任务不存在: {start.task_name}", field="taskName") from error
        if not run.spec.task_name:
            run.spec.task_name = start.task_name
        return Answer.json(translate.started_json(run))

    async def execution(self, call: Call) -> Answer:
        """Show one execution with its log."""
        text = call.path_params["execution_id"]
        query = query_of(call)
        try:
            request = runs_pb2.GetRunRequest(run_id=run_id_of(text) or 0)
            run: runs_pb2.Run = await self._backend.run(self._backend.runs.GetRun, request)
        except NotFound as error:
            raise NotFound(f"执行不存在: {text[:64]}", field="executionId") from error
        logs, total = await self._log(run, query)
        shown = translate.started_json(run) | {"logs": logs}
        if query.choice("detail", ("true", "false")) == "true":
            shown |= translate.detail_json(run) | {"logTotal": total}
        return Answer.json(veil_of(call, run).run(shown))

    async def _log(self, run: runs_pb2.Run, query: QueryFields) -> tuple[list[Json], int]:
        """The page of the log that the query asks for, else its end; and how many lines there are."""
        limit = query.integer("logLimit", 1, MAX_LOG_LIMIT, LOG_LINES)
        if "logOffset" in query.raw or "logLimit" in query.raw:
            return await self._log_page(run, query.integer("logOffset", 0, MAX_LOG_OFFSET, 0), limit)
        return await self._log_end(run, limit)

    async def _log_page(self, run: runs_pb2.Run, offset: int, limit: int) -> tuple[list[Json], int]:
        first = translate.first_line(run)
        lead = [first] if first is not None else []
        answer = await self._lines(run, offset=max(0, offset - len(lead)), limit=limit)
        lines = [*(lead if offset == 0 else []), *map(translate.log_json, answer.lines)]
        return lines[:limit], answer.total + len(lead)

    async def _log_end(self, run: runs_pb2.Run, limit: int) -> tuple[list[Json], int]:
        first = translate.first_line(run)
        lead = [first] if first is not None else []
        answer = await self._lines(run, limit=limit, tail=True)
        lines = [*(lead if answer.total < limit else []), *map(translate.log_json, answer.lines)]
        return lines, answer.total + len(lead)

    async def _lines(self, run: runs_pb2.Run, **page: Any) -> runs_pb2.ListLogsResponse:
        request = runs_pb2.ListLogsRequest(run_id=run.spec.run_id, **page)
        answer: runs_pb2.ListLogsResponse = await self._backend.run(self._backend.runs.ListLogs, request)
        return answer

    async def executions(self, call: Call) -> Answer:
        """List a task's executions, newest first: all that have not ended, and the newest of the others."""
        name, query = task_name_of(call), query_of(call)
        limit, offset = query.integer("limit", 1, MAX_LISTED, LISTED), query.integer("offset", 0, 10**9, 0)
        try:
            detail = await self._backend.task(self._backend.tasks.GetTask, tasks_pb2.GetTaskRequest(name=name))
        except NotFound as error:
            raise NotFound(f"任务不存在: {name}", field="taskName") from error
        task_id = detail.task.id
        request = _list_of(task_id, limit=limit, offset=offset)
        goes_on = self._walks.enter(request, query.raw)
        page = await self._backend.run(self._backend.runs.ListRuns, request)
        runs = {run.spec.run_id: run for run in page.runs}
        if not (goes_on or "limit" in query.raw or "offset" in query.raw):
            statuses = (runs_pb2.RUN_STATUS_RUNNING, runs_pb2.RUN_STATUS_PENDING)
            lists = (_list_of(task_id, limit=MAX_LIVE, status=status) for status in statuses)
            live = await asyncio.gather(*(self._backend.run(self._backend.runs.ListRuns, one) for one in lists))
            runs = {run.spec.run_id: run for answer in live for run in answer.runs} | runs
        shown = await self._with_logs(call, sorted(runs.values(), key=lambda run: -run.spec.run_id))
        return with_total(shown, max(page.total, len(shown)), self._walks.header(request, page))

    async def _with_logs(self, call: Call, runs: Sequence[runs_pb2.Run]) -> list[Json]:
        most = max(1, min(LOG_LINES, LISTED_LINES // max(1, len(runs))))
        at_once = asyncio.Semaphore(LOGS_AT_ONCE)

        async def shown(run: runs_pb2.Run) -> Json:
            async with at_once:
                logs, _ = await self._log_end(run, most)
            entry = translate.started_json(run)
            del entry["taskName"]
            return veil_of(call, run).run(entry | {"logs": logs})

        return await asyncio.gather(*map(shown, runs))

    async def cancel_by_ids(self, call: Call) -> Answer:
        """Cancel these executions."""
        wanted = await listed(call, "executionIds")
        by_run = {run_id: text for text in wanted if (run_id := run_id_of(text)) is not None}
        cancelled: set[str] = set()
        if by_run:
            answer = await self._abort(queues_pb2.AbortRunsRequest(run_ids=list(by_run)))
            cancelled = {by_run[run_id] for run_id in answer.run_ids}
        return Answer.json(
            {
                "cancelled": [text for text in wanted if text in cancelled],
                "notFound": [text for text in wanted if text not in cancelled],
            }
        )

    async def cancel_by_task_names(self, call: Call) -> Answer:
        """Cancel every execution of these tasks."""
        names = await listed(call, "taskNames")
        answer = await self._abort(queues_pb2.AbortRunsRequest(task_names=names))
        return Answer.json(
            {
                "cancelled": [execution_id(run_id) for run_id in answer.run_ids],
                "taskNotFound": list(answer.unknown_tasks),
            }
        )

    async def cancel_all(self, _call: Call) -> Answer:
        """Cancel every execution."""
        answer = await self._abort(queues_pb2.AbortRunsRequest(all=True))
        return Answer.json({"count": len(answer.run_ids)})

    async def _abort(self, request: queues_pb2.AbortRunsRequest) -> queues_pb2.AbortRunsResponse:
        request.wait_ms = CANCEL_WAIT_MS
        answer: queues_pb2.AbortRunsResponse = await self._backend.run(
            self._backend.queues.AbortRuns, request, extra_seconds=CANCEL_ALL_SECONDS
        )
        return answer

    def endpoints(self) -> list[Endpoint]:
        """All of them; the busiest first."""
        cancel = "/tasks/executions/cancel"
        log_query = [("logOffset", "integer", "从第几行日志开始"), ("logLimit", "integer", "最多返回的日志行数"),
                     ("detail", "boolean", "true: also result, error, progress")]  # fmt: skip
        return [
            Endpoint("GET", "/tasks/running/execution/{execution_id}", self.execution,
                     Doc("查询特定执行ID的状态", TAG, answer=examples.EXECUTION, query=log_query, errors=(400, 404),
                         description="`logs` holds the last 1,000 lines unless a page is asked for."), Role.VIEWER),
            *(Endpoint("POST", f"/tasks/{{task_name}}/execute/{how}", self.execute,
                       Doc(summary, TAG, body=examples.EXECUTE, body_required=False, answer=examples.EXECUTED,
                           errors=(400, 401, 403, 404),
                           description="Parameters that decide which program a `shell` or `python` task runs take an "
                           "operator's key."), Role.OPERATOR, starts_work=True)
              for how, summary in (("api", "通过API执行任务"), ("manual", "手动执行任务"))),
            Endpoint("GET", "/tasks/running/{task_name}", self.executions,
                     Doc("查询任务名称的所有执行", TAG, answer=examples.EXECUTIONS, errors=(400, 404, 422),
                         query=[("limit", "integer", "1-1000"), ("offset", "integer", "跳过的执行数"), HEADER_QUERY],
                         description="Newest first: every execution that has not ended, and others up to 100. The "
                         "logs of all of them together hold at most 20,000 lines."), Role.VIEWER),
            Endpoint("DELETE", f"{cancel}/by-ids", self.cancel_by_ids,
                     Doc("通过执行ID取消", TAG, body=examples.CANCEL_IDS, body_required=False,
                         answer=examples.CANCELLED_IDS, query=[("executionIds", "string", "请求体的替代: 逗号分隔")],
                         errors=(400,)), Role.OPERATOR),
            Endpoint("DELETE", f"{cancel}/by-task-names", self.cancel_by_task_names,
                     Doc("通过任务名称取消", TAG, body=examples.CANCEL_NAMES, body_required=False,
                         answer=examples.CANCELLED_NAMES, query=[("taskNames", "string", "请求体的替代: 逗号分隔")],
                         errors=(400,)), Role.OPERATOR),
            Endpoint("DELETE", f"{cancel}/all", self.cancel_all,
                     Doc("取消所有任务", TAG, answer={"count": 5}), Role.OPERATOR),
        ]  # fmt: skip


def _list_of(task_id: int, **query: Any) -> runs_pb2.ListRunsRequest:
    """A task's runs, newest first."""
    return runs_pb2.ListRunsRequest(task_id=task_id, sort="created_at", **query)
