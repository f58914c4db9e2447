"""Browser work beside runs, on the scheduler's port: dry runs of steps, traces, kept files, sessions."""

from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import browser_pb2

from gateway import sessions
from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import decode_json
from gateway.checks import path_id
from gateway.exchange import Answer, Call
from gateway.files import open_file
from gateway.native.envelope import Page, ok, query_of
from gateway.routing import Doc, Endpoint

Json = Any
TAG = "browser"
TRACE = "trace.json"
_DEFINITION = {
    "sortedData": [{"type": "navigation", "url": "https://example.com"}],
    "row": {"keyword": "lamp"},
    "task_name": "shop_prices",
}
_VALID = {
    "valid": True,
    "format": "recorded",
    "steps": [{"type": "navigate", "url": "https://example.com"}],
    "errors": [],
    "warnings": [{"path": "row.keyword", "message": "no step uses this key", "code": "unused_row_key"}],
}
_TRACE = {
    "runId": 7,
    "attempt": 1,
    "startedMs": 1_705_314_600_000,
    "durationMs": 5120,
    "steps": [
        {"step": "steps[0]", "type": "click", "startedMs": 1_705_314_600_000, "durationMs": 120, "outcome": "done",
         "matched": {"by": "css", "selector": "#buy"}, "url": "https://example.com/"}
    ],
    "stepsLeftOut": 0,
    "console": [{"kind": "console", "text": "…", "url": "https://example.com/a.js", "step": "steps[0]"}],
}  # fmt: skip


class BrowserRoutes:
    """Handlers of `/steps`, `/sessions` and of what browser runs keep."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def validate(self, call: Call) -> Answer:
        """Check a step list in any of the three formats, and show its canonical form."""
        body = await call.body()
        decode_json(body)
        request = browser_pb2.ValidateStepsRequest(definition_json=body)
        checked: browser_pb2.ValidateStepsResponse = await self._backend.result(
            self._backend.browser.ValidateSteps, request
        )
        found: dict[str, list[Json]] = {"error": [], "warning": []}
        for one in checked.findings:
            found[one.level].append({"path": one.path, "message": one.message, "code": one.code})
        return ok(
            call,
            {
                "valid": not found["error"],
                "format": checked.format,
                "steps": orjson.Fragment(checked.steps_json),
                "errors": found["error"],
                "warnings": found["warning"],
            },
        )

    async def schema(self, _call: Call) -> Answer:
        """The JSON Schema of a canonical step list, by itself."""
        answer = await self._backend.result(self._backend.browser.GetStepSchema, browser_pb2.GetStepSchemaRequest())
        return Answer(answer.schema_json, content_type=b"application/schema+json")

    async def trace(self, call: Call) -> Answer:
        """The trace of a browser run's last attempt."""
        return await open_file(self._backend, await self._run_id(call), TRACE)

    async def file(self, call: Call) -> Answer:
        """A file that a run has kept."""
        return await open_file(self._backend, await self._run_id(call), call.path_params["name"])

    async def _run_id(self, call: Call) -> int:
        run_id = path_id("id", call.path_params["run_id"])
        await self._backend.run(self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
        return run_id

    async def list_sessions(self, call: Call) -> Answer:
        """List what browsers keep between runs, without its content."""
        query = query_of(call)
        page = Page(query)
        found, total = await sessions.list_sessions(self._backend, query, offset=page.offset, limit=page.size)
        return page.answer(call, found, total)

    async def delete_sessions(self, call: Call) -> Answer:
        """Forget sessions."""
        return ok(call, {"deleted": await sessions.delete_sessions(self._backend, query_of(call))})

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        page = [("page", "integer", "页码"), ("size", "integer", "每页数量")]
        return [
            Endpoint("POST", "/steps/validate", self.validate,
                     Doc("检查步骤", TAG, body=_DEFINITION, answer=_VALID, errors=(400, 401),
                         description="Takes canonical steps, recorded SmartRPA events or a Chrome DevTools recording: "
                         "a list, or an object with `steps` or `sortedData` and what belongs to it."), Role.VIEWER),
            Endpoint("GET", "/steps/schema", self.schema,
                     Doc("步骤的JSON Schema", TAG, answer={"type": "array"}, errors=(401,),
                         content_type="application/schema+json"), Role.VIEWER),
            Endpoint("GET", "/runs/{run_id}/trace", self.trace,
                     Doc("获取浏览器运行轨迹", TAG, answer=_TRACE, errors=(401, 404)), Role.VIEWER),
            Endpoint("GET", "/runs/{run_id}/files/{name}", self.file,
                     Doc("获取运行保存的文件", TAG, answer={}, errors=(401, 404)), Role.VIEWER),
            Endpoint("GET", "/sessions", self.list_sessions,
                     Doc("浏览器会话列表", TAG, answer={"items": [sessions.EXAMPLE], "total": 1},
                         query=[*sessions.QUERY, *page], errors=(401, 422)), Role.VIEWER),
            Endpoint("DELETE", "/sessions", self.delete_sessions,
                     Doc("删除浏览器会话", TAG, answer={"deleted": 1}, query=sessions.QUERY,
                         errors=(401, 403, 409, 422)), Role.OPERATOR),
        ]  # fmt: skip
