"""What SmartRPA tasks leave behind: traces, kept files, browser sessions. Added to the contract, in its own shapes."""

from typing import Any

from chassis.errors import NotFound
from trawl.scheduler.v1 import runs_pb2

from gateway import sessions
from gateway.access import Role
from gateway.backend import Backend
from gateway.checks import QueryFields, invalid
from gateway.exchange import Answer, Call
from gateway.files import open_file
from gateway.routing import Doc, Endpoint
from gateway.smartrpa.request import CONTRACT, text_id

Json = Any
TAG = "keepsakes"
MAX_SESSIONS = 1_000


class KeepsakeRoutes:
    """Handlers."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def trace(self, call: Call) -> Answer:
        """The trace of a task's newest run."""
        return await open_file(self._backend, await self._run_id(call), "trace.json")

    async def file(self, call: Call) -> Answer:
        """A file that a task has kept, by the last part of its name in the result."""
        name = _query(call).text("name", 300).rpartition("/")[2]
        if not name:
            raise invalid("name", "required", "是必填项")
        return await open_file(self._backend, await self._run_id(call), name)

    async def _run_id(self, call: Call) -> int:
        task_id = text_id("id", _query(call).raw.get("id"))
        request = runs_pb2.GetRunRequest(contract=CONTRACT, external_id=task_id)
        try:
            run: runs_pb2.Run = await self._backend.run(self._backend.runs.GetRun, request)
        except NotFound as error:
            raise NotFound("未找到指定任务", field="id") from error
        return run.spec.run_id

    async def list_sessions(self, call: Call) -> Answer:
        """List what browsers keep between tasks, without its content."""
        query = _query(call)
        offset = query.integer("offset", 0, 1_000_000_000, 0)
        limit = query.integer("limit", 1, MAX_SESSIONS, MAX_SESSIONS)
        found, total = await sessions.list_sessions(self._backend, query, offset=offset, limit=limit)
        return Answer.json({"status": "success", "sessions": found, "total": total})

    async def delete_sessions(self, call: Call) -> Answer:
        """Forget sessions."""
        deleted = await sessions.delete_sessions(self._backend, _query(call))
        return Answer.json({"status": "success", "message": "会话已删除", "deleted": deleted})

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        task = ("id", "string", "任务ID")
        listed = {"status": "success", "sessions": [sessions.EXAMPLE], "total": 1}
        deleted = {"status": "success", "message": "会话已删除", "deleted": 1}
        return [
            Endpoint("GET", "/task-trace", self.trace,
                     Doc("任务轨迹查询", TAG, answer={"runId": 7, "steps": []}, query=[task], errors=(400, 404)),
                     Role.VIEWER),
            Endpoint("GET", "/task-file", self.file,
                     Doc("任务文件下载", TAG, answer={}, query=[task, ("name", "string", "文件名")],
                         errors=(400, 404)), Role.VIEWER),
            Endpoint("GET", "/sessions", self.list_sessions,
                     Doc("浏览器会话列表", TAG, answer=listed, query=[*sessions.QUERY, ("limit", "integer", "数量")],
                         errors=(400,)), Role.VIEWER),
            Endpoint("DELETE", "/sessions", self.delete_sessions,
                     Doc("删除浏览器会话", TAG, answer=deleted, query=sessions.QUERY, errors=(400,)), Role.OPERATOR),
        ]  # fmt: skip


def _query(call: Call) -> QueryFields:
    return QueryFields(call.query)
