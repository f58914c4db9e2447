"""The SmartRPA contract's endpoints. Must not know how runs are kept or done."""

import asyncio
from typing import Any

from chassis.errors import DeadlineExceeded, InvalidInput, NotFound
from trawl.scheduler.v1 import runs_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import invalid
from gateway.exchange import Answer, Call, ClientGone
from gateway.failures import NotOffered
from gateway.routing import Doc, Endpoint
from gateway.run_watcher import RunWatcher
from gateway.smartrpa import translate
from gateway.smartrpa.request import CONTRACT, RpaTask, parse_task, text_id

Json = Any
TAG = "tasks"
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
_LATER = (("POST", "/scrape_base"), ("GET", "/heartbeat"), ("GET", "/tasks"), ("POST", "/task-progress"),
          ("POST", "/login"))  # fmt: skip


class SmartRpaRoutes:
    """Handlers. `wait_seconds`: how long one request may wait for its run's end."""

    def __init__(self, backend: Backend, watcher: RunWatcher, wait_seconds: float) -> None:
        self._backend, self._watcher, self._wait_seconds = backend, watcher, wait_seconds

    async def scrape(self, call: Call) -> Answer:
        """Start a task."""
        task = parse_task(await read_object(call))
        await self._backend.start(task.start())
        return Answer.json(translate.accepted(task.task_id), 202)

    async def scrape_and_wait(self, call: Call) -> Answer:
        """Start a task and answer when it has ended. The task goes on when the client goes away."""
        task = parse_task(await read_object(call))
        run = await self._backend.start(task.start())
        waiting = asyncio.create_task(self._watcher.wait_ended(run.spec.run_id, self._wait_seconds))
        gone = asyncio.create_task(call.gone())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGone
            return _finished(task, waiting)
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
        return Answer.json(translate.status_json(task_id, run))

    async def cancel(self, call: Call) -> Answer:
        """Ask a task to stop; it stops soon after."""
        task_id = text_id("taskId", (await read_object(call)).get("taskId"))
        try:
            run = await self._newest(task_id)
        except NotFound as error:
            raise NotFound("未找到指定任务", field="taskId") from error
        request = runs_pb2.AbortRunRequest(run_id=run.spec.run_id)
        await self._backend.run(self._backend.runs.AbortRun, request)
        return Answer.json(_SENT)

    async def _newest(self, task_id: str) -> runs_pb2.Run:
        request = runs_pb2.GetRunRequest(contract=CONTRACT, external_id=task_id)
        run: runs_pb2.Run = await self._backend.run(self._backend.runs.GetRun, request)
        return run

    async def _not_offered(self, _call: Call) -> Answer:
        raise NotOffered("此接口尚未提供")

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
            *(Endpoint(method, path, self._not_offered, Doc("尚未提供", TAG, status=501), Role.VIEWER)
              for method, path in _LATER),
        ]  # fmt: skip


def _finished(task: RpaTask, waiting: "asyncio.Task[runs_pb2.Run]") -> Answer:
    try:
        run = waiting.result()
    except DeadlineExceeded as error:
        raise DeadlineExceeded("等待超时，任务仍在执行", dependency="run") from error
    body, status = translate.finished(task.task_id, run)
    return Answer.json(body, status)


def _query_id(call: Call) -> str:
    try:
        return text_id("id", call.query.get("id"))
    except InvalidInput:
        raise
    except ValueError as error:
        raise invalid("id", "required", "是必填项") from error
