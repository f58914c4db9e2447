"""The SmartRPA contract's endpoints. Must not know how runs are kept or done."""

import asyncio
from typing import Any

from chassis.clock import now_ms
from chassis.errors import DeadlineExceeded, NotFound
from chassis.logs import get_logger
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import browser_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import QueryFields
from gateway.exchange import Answer, Call, ClientGone
from gateway.masking import veil_of
from gateway.routing import Doc, Endpoint
from gateway.run_watcher import ENDED, RunWatcher
from gateway.smartrpa import translate
from gateway.smartrpa.login import parse_login
from gateway.smartrpa.reports import parse_report
from gateway.smartrpa.request import BROWSER, CONTRACT, WITHOUT_BROWSER, parse_task, text_id

Json = Any
log = get_logger("smartrpa")
TAG = "tasks"
ENDED_SHOWN = 1_000
MOST_SHOWN = 10_000
_TASK = {
    "taskId": "task123",
    "task_name": "shop_prices",
    "sortedData": [{"type": "navigation", "url": "https://example.com"}],
    "row": {"keyword": "lamp", "浏览器id": "browser001"},
    "BASE_URL": "https://example.com",
    "adsPowerId": None,
    "timeout": 30,
}
_TIME = "2024-01-15T10:30:00.000Z"
_STATUS = {"status": "running", "taskId": "task123", "progress": 45, "startedAt": _TIME, "timestamp": _TIME}
_DONE = {"status": "success", "taskId": "task123", "message": "任务已完成", "result": {}, "timestamp": _TIME}
_SENT = {"status": "success", "message": "任务取消请求已发送"}
_BEAT = _STATUS | {"lastActivity": _TIME, "currentStep": "sortedData[3] click"}
_TASKS = {
    "running": [{"taskId": "task123", "status": "running", "startTime": _TIME, "runningTime": 300_000}],
    "completed": [{"taskId": "task122", "status": "completed", "completedAt": _TIME}],
}
_LOGIN = {
    "url": "https://example.com/login",
    "task_name": "shop_login",
    "successSelectors": ["#user-avatar", ".login-success"],
    "username": "visitor",
    "password": "…",
    "浏览器id": "browser001",
}
_LOGGED_IN = {"status": "success", "message": "登录成功，cookies已保存"}
_REPORT = {"taskId": "task123", "progress": 65, "status": "running"}
_UPDATED = {"status": "success", "message": "任务进度已更新"}


class SmartRpaRoutes:
    """Handlers. `wait_seconds`: how long one request may wait for its run's end."""

    def __init__(self, backend: Backend, watcher: RunWatcher, wait_seconds: float) -> None:
        self._backend, self._watcher, self._wait_seconds = backend, watcher, wait_seconds

    async def scrape(self, call: Call) -> Answer:
        """Start a task."""
        return await self._start(call, BROWSER)

    async def scrape_base(self, call: Call) -> Answer:
        """Start a task that needs no browser."""
        return await self._start(call, WITHOUT_BROWSER)

    async def _start(self, call: Call, executor: str) -> Answer:
        task = parse_task(await read_object(call))
        await self._backend.start(task.start(executor))
        return Answer.json(translate.accepted(task.task_id), 202)

    async def scrape_and_wait(self, call: Call) -> Answer:
        """Start a task and answer when it has ended. The task goes on when the client goes away."""
        task = parse_task(await read_object(call))
        run = await self._backend.start(task.start())
        ended = await self._ended(call, run)
        body, status = translate.finished(task.task_id, ended)
        return Answer.json(veil_of(call, ended).run(body), status)

    async def login(self, call: Call) -> Answer:
        """Log in and keep the session; answers when that has worked or failed."""
        login = parse_login(await read_object(call))
        sealing = browser_pb2.SealRequest(data=login.secret)
        sealed: browser_pb2.SealResponse = await self._backend.result(self._backend.browser.Seal, sealing)
        run = await self._ended(call, await self._backend.start(login.start(sealed.sealed)))
        if run.status == runs_pb2.RUN_STATUS_COMPLETED:
            return Answer.json(_LOGGED_IN)
        return Answer.json(veil_of(call, run).run(translate.login_failed(run)), 500)

    async def _ended(self, call: Call, run: runs_pb2.Run) -> runs_pb2.Run:
        """The run once it has ended. Raises `ClientGone`, or `DeadlineExceeded` when it goes on for too long."""
        waiting = asyncio.create_task(self._watcher.wait_ended(run.spec.run_id, self._wait_seconds))
        gone = asyncio.create_task(call.gone())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGone
            return waiting.result()
        except DeadlineExceeded as error:
            raise DeadlineExceeded("等待超时，任务仍在执行", dependency="run") from error
        finally:
            waiting.cancel()
            gone.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)

    async def status(self, call: Call) -> Answer:
        """Show a task's state; an unknown one is no error."""
        task_id = _query_id(call)
        try:
            run = await self._newest(task_id)
        except NotFound:
            return Answer.json(translate.not_found(task_id))
        return Answer.json(veil_of(call, run).run(translate.status_json(task_id, run)))

    async def heartbeat(self, call: Call) -> Answer:
        """Show a task's state and what it does now, and log the check."""
        task_id = _query_id(call)
        try:
            run = await self._newest(task_id)
        except NotFound:
            log.info("heartbeat of an unknown task", task_id=task_id)
            return Answer.json(translate.not_found(task_id) | {"lastActivity": None, "currentStep": None})
        shown = translate.heartbeat_json(task_id, run)
        log.info(
            "heartbeat", task_id=task_id, run_id=run.spec.run_id, status=shown["status"], progress=shown["progress"],
            step=run.step, last_activity=shown["lastActivity"],
        )  # fmt: skip
        return Answer.json(veil_of(call, run).run(shown))

    async def tasks(self, call: Call) -> Answer:
        """List what runs, and the newest of what has ended."""
        limit = _query_limit(call)
        lists = (
            runs_pb2.ListRunsRequest(status=runs_pb2.RUN_STATUS_RUNNING, limit=MOST_SHOWN),
            runs_pb2.ListRunsRequest(status=runs_pb2.RUN_STATUS_PENDING, limit=MOST_SHOWN),
            # Runs that have not ended sort last.
            runs_pb2.ListRunsRequest(sort="completed_at", limit=limit),
        )
        for request in lists:
            request.contract = CONTRACT
        running, pending, ended = await asyncio.gather(
            *(self._backend.run(self._backend.runs.ListRuns, request) for request in lists)
        )
        now = now_ms()
        done = [translate.ended_json(run) for run in ended.runs if run.status in ENDED]
        live = {run.spec.run_id: translate.running_json(run, now) for run in [*running.runs, *pending.runs]}
        return Answer.json({"running": list(live.values()), "completed": done})

    async def report_progress(self, call: Call) -> Answer:
        """Take a client's word for how far a task is, or that it has ended."""
        raw = await read_object(call)
        task_id = text_id("taskId", raw.get("taskId"))
        report = parse_report(raw)
        report.run_id = (await self._known(task_id)).spec.run_id
        await self._backend.run(self._backend.runs.ReportOutside, report)
        return Answer.json(_UPDATED)

    async def cancel(self, call: Call) -> Answer:
        """Ask a task to stop; it stops soon after."""
        run = await self._known(text_id("taskId", (await read_object(call)).get("taskId")))
        request = runs_pb2.AbortRunRequest(run_id=run.spec.run_id)
        await self._backend.run(self._backend.runs.AbortRun, request)
        return Answer.json(_SENT)

    async def _known(self, task_id: str) -> runs_pb2.Run:
        try:
            return await self._newest(task_id)
        except NotFound as error:
            raise NotFound("未找到指定任务", field="taskId") from error

    async def _newest(self, task_id: str) -> runs_pb2.Run:
        request = runs_pb2.GetRunRequest(contract=CONTRACT, external_id=task_id)
        run: runs_pb2.Run = await self._backend.run(self._backend.runs.GetRun, request)
        return run

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        errors = (400, 500, 503)
        in_flight_seconds = int(self._wait_seconds) + 60
        return [
            Endpoint("POST", "/scrape", self.scrape,
                     Doc("提交任务（异步执行）", TAG, body=_TASK, answer=translate.accepted("task123"), status=202,
                         errors=errors), Role.OPERATOR, starts_work=True),
            Endpoint("POST", "/scrape_dengdai", self.scrape_and_wait,
                     Doc("提交任务（同步执行）", TAG, body=_TASK, answer=_DONE, errors=errors),
                     Role.OPERATOR, starts_work=True, in_flight_seconds=in_flight_seconds),
            Endpoint("GET", "/task-status", self.status,
                     Doc("任务状态查询", TAG, answer=_STATUS, query=[("id", "string", "任务ID")], errors=(400,)),
                     Role.VIEWER),
            Endpoint("POST", "/cancel-task", self.cancel,
                     Doc("取消任务", TAG, body={"taskId": "task123"}, answer=_SENT, errors=(400, 404)), Role.OPERATOR),
            Endpoint("POST", "/scrape_base", self.scrape_base,
                     Doc("基础任务执行", TAG, body=_TASK, answer=translate.accepted("task123"), status=202,
                         errors=errors, description="No browser: steps over HTTP; without steps the page's status, "
                         "title, text and links."), Role.OPERATOR, starts_work=True),
            Endpoint("GET", "/heartbeat", self.heartbeat,
                     Doc("心跳检测", TAG, answer=_BEAT, query=[("id", "string", "任务ID")], errors=(400,)),
                     Role.VIEWER),
            Endpoint("GET", "/tasks", self.tasks,
                     Doc("任务列表查询", TAG, answer=_TASKS, query=[("limit", "integer", "已结束任务的数量")],
                         errors=(400,)), Role.VIEWER),
            Endpoint("POST", "/task-progress", self.report_progress,
                     Doc("更新任务进度", TAG, body=_REPORT, answer=_UPDATED, errors=(400, 404)), Role.OPERATOR),
            Endpoint("POST", "/login", self.login,
                     Doc("登录接口", TAG, body=_LOGIN, answer=_LOGGED_IN, errors=errors), Role.OPERATOR,
                     starts_work=True, in_flight_seconds=in_flight_seconds),
        ]  # fmt: skip


def _query_id(call: Call) -> str:
    return text_id("id", call.query.get("id"))


def _query_limit(call: Call) -> int:
    fields = QueryFields(call.query)
    return fields.integer("limit", 1, MOST_SHOWN, ENDED_SHOWN)
