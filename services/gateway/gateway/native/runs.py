"""Runs of the scheduler contract. Owns: their endpoints. Must not know how runs are kept."""

import asyncio
from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import results_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import MAX_ID, Fields, QueryFields, invalid, path_id
from gateway.exchange import Answer, Call
from gateway.masking import veil_of
from gateway.native import examples
from gateway.native.envelope import Page, ascending, ok, query_of
from gateway.native.seen import seen_run
from gateway.native.stream_examples import FOLLOW_QUERY
from gateway.native.translate import (
    RUN_STATUS_WORDS,
    RUN_STATUSES,
    log_json,
    raw_json,
    result_json,
    run_detail,
    run_item,
    stop_of,
)
from gateway.routing import Doc, Endpoint, Handler
from gateway.times import day_end_ms, day_start_ms, iso_seconds
from gateway.walks import Walks

Json = Any
SORTS = ("created_at", "started_at", "completed_at", "id")
CONTRACTS = ("scheduler", "smartrpa", "xget", "management", "pipeline")
DETAIL_LOG_LINES = 1_000
ABORT_WAIT_MS = 5_000
# Parameters above this are not repeated in a run's detail.
MAX_SHOWN_PARAMETERS = 1024 * 1024
TAG = "runs"


class RunRoutes:
    """Handlers of `/runs`."""

    def __init__(self, backend: Backend, walks: Walks, follow_logs: Handler) -> None:
        self._backend, self._walks, self._follow_logs = backend, walks, follow_logs

    async def list_runs(self, call: Call) -> Answer:
        """List runs of all contracts."""
        query = query_of(call)
        page = Page(query)
        status = query.choice("status", RUN_STATUSES)
        request = runs_pb2.ListRunsRequest(
            task_id=query.integer("task_id", 1, MAX_ID, 0),
            worker_id=query.text("worker_id"),
            from_ms=_day(query, "start_date"),
            until_ms=_day(query, "end_date"),
            contract=query.choice("contract", CONTRACTS),
            sort=query.choice("sort", SORTS, "created_at"),
            ascending=ascending(query),
            offset=page.offset,
            limit=page.size,
        )
        if status:
            request.status = RUN_STATUSES[status]
        self._walks.enter(request, query.raw)
        answer = await self._backend.run(self._backend.runs.ListRuns, request)
        items = [veil_of(call, run).run(run_item(run)) for run in answer.runs]
        return page.answer(call, items, answer.total, next_cursor=self._walks.following(request, answer))

    async def detail(self, call: Call) -> Answer:
        """Show a run with the end of its log."""
        run_id = _run_id(call)
        runs = self._backend.runs
        run, logs = await asyncio.gather(
            self._backend.run(runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id)),
            self._backend.run(
                runs.ListLogs, runs_pb2.ListLogsRequest(run_id=run_id, limit=DETAIL_LOG_LINES, tail=True)
            ),
        )
        parameters = await self._parameters(run)
        shown = run_detail(run, parameters, [log_json(line) for line in logs.lines])
        veil = veil_of(call, run, parameters)
        return ok(call, veil.run(shown, "parameters", executor=run.spec.executor))

    async def _parameters(self, run: runs_pb2.Run) -> Json:
        if not run.spec.parameters_by_reference:
            return raw_json(run.spec.parameters_json, {})
        parts = []
        size = 0
        request = runs_pb2.GetParametersRequest(run_id=run.spec.run_id)
        async for chunk in self._backend.scheduler.stream(self._backend.runs.GetParameters, request, timeout=10):
            parts.append(chunk.data)
            size += len(chunk.data)
            if size > MAX_SHOWN_PARAMETERS:
                return {"truncated": True, "reason": f"parameters are larger than {MAX_SHOWN_PARAMETERS} bytes"}
        return orjson.Fragment(b"".join(parts))

    async def logs(self, call: Call) -> Answer:
        """Page through a run's log, or follow it."""
        if query_of(call).choice("follow", ("true", "false")) == "true":
            return await self._follow_logs(call)
        query = query_of(call)
        page = Page(query, 100)
        request = runs_pb2.ListLogsRequest(run_id=_run_id(call), offset=page.offset, limit=page.size)
        self._walks.enter(request, query.raw)
        answer = await self._backend.run(self._backend.runs.ListLogs, request)
        veil = await seen_run(call, self._backend, request.run_id)
        lines = veil.data([log_json(line) for line in answer.lines])
        return page.answer(call, lines, answer.total, next_cursor=self._walks.following(request, answer))

    async def results(self, call: Call) -> Answer:
        """Page through a run's result items."""
        query = query_of(call)
        page = Page(query)
        run_id = _run_id(call)
        request = results_pb2.ListResultsRequest(
            run_id=run_id, data_type=query.text("data_type"), offset=page.offset, limit=page.size
        )
        self._walks.enter(request, query.raw)
        run = await self._backend.run(self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
        answer = await self._backend.result(self._backend.results.ListResults, request)
        items = veil_of(call, run).data([result_json(item) for item in answer.items])
        return page.answer(call, items, answer.total, next_cursor=self._walks.following(request, answer))

    async def abort(self, call: Call) -> Answer:
        """Abort a run, and wait a little for the proof that nothing of it is left."""
        fields = Fields(await read_object(call, optional=True))
        request = runs_pb2.AbortRunRequest(
            run_id=_run_id(call), wait_ms=ABORT_WAIT_MS, reason=fields.text("reason", 500),
            requested_by=call.principal.name if call.principal else "",
        )  # fmt: skip
        run = await self._backend.run(self._backend.runs.AbortRun, request, extra_seconds=ABORT_WAIT_MS / 1000)
        aborted = run.status == runs_pb2.RUN_STATUS_ABORTED
        return ok(
            call,
            {
                "id": run.spec.run_id,
                "status": RUN_STATUS_WORDS.get(run.status, "running"),
                "completed_at": iso_seconds(run.completed_ms),
                "message": "任务运行已中止" if aborted else "已请求中止任务运行，正在等待其停止",
                **({} if aborted else {"stop": stop_of(run)}),
            },
        )

    async def restart(self, call: Call) -> Answer:
        """Start a new run like this one."""
        run_id = _run_id(call)
        run = await self._backend.run(self._backend.runs.RestartRun, runs_pb2.RestartRunRequest(run_id=run_id))
        return ok(
            call,
            {
                "original_run_id": run_id,
                "new_run_id": run.spec.run_id,
                "status": RUN_STATUS_WORDS.get(run.status, "pending"),
                # The documented time is the restart's own: the new run has not begun when it is answered.
                "started_at": iso_seconds(run.started_ms or run.spec.created_ms),
            },
        )

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        one = "/runs/{run_id}"
        return [
            Endpoint("GET", one, self.detail,
                     Doc("获取任务运行详情", TAG, answer=examples.RUN_DETAIL, errors=(401, 404)), Role.VIEWER),
            Endpoint("GET", "/runs", self.list_runs,
                     Doc("获取任务运行列表", TAG, answer=examples.RUN_LIST, query=examples.RUN_QUERY,
                         errors=(401, 422)), Role.VIEWER),
            Endpoint("POST", f"{one}/abort", self.abort,
                     Doc("中止任务运行", TAG, body={"reason": "wrong parameters"}, body_required=False,
                         answer=examples.RUN_ABORTED, errors=(400, 401, 403, 404, 409, 422),
                         description="Answers once the run has stopped, at most after five seconds; a run that still "
                         "stops by then is shown as `running`."), Role.OPERATOR),
            Endpoint("POST", f"{one}/restart", self.restart,
                     Doc("重启任务运行", TAG, answer=examples.RUN_RESTARTED, errors=(401, 403, 404, 409)),
                     Role.OPERATOR, starts_work=True),
            Endpoint("GET", f"{one}/logs", self.logs,
                     Doc("获取任务运行日志", TAG, answer=examples.LOG_LIST, query=FOLLOW_QUERY,
                         errors=(401, 404, 422), also=("text/event-stream",),
                         description="With `follow=true` the answer is `text/event-stream`: `log` events from the "
                         "first line (or after `Last-Event-ID`), and `end` when the run has ended."), Role.VIEWER),
            Endpoint("GET", f"{one}/results", self.results,
                     Doc("获取任务运行结果", TAG, answer=examples.RESULT_LIST, query=examples.RESULT_QUERY,
                         errors=(401, 404)), Role.VIEWER),
        ]  # fmt: skip


def _run_id(call: Call) -> int:
    return path_id("id", call.path_params["run_id"])


def _day(query: QueryFields, name: str) -> int:
    text = query.text(name, 32)
    if not text:
        return 0
    try:
        return day_start_ms(text) if name == "start_date" else day_end_ms(text)
    except (ValueError, OverflowError) as error:
        raise invalid(name, "date", "必须是YYYY-MM-DD格式的日期", text) from error
