"""Dry runs of steps, traces, kept files and browser sessions, through the real gateway before fakes of the services."""

from typing import Any

import pytest
from gateway_support import shapes
from gateway_support.stack import Gateway, Reply

TASK = {"taskId": "t1", "task_name": "shop", "BASE_URL": "https://example.com"}
SESSION = {
    "browserId": str, "origin": str, "createdAt": shapes.TIME_MS, "updatedAt": shapes.TIME_MS,
    "expiresAt": (shapes.TIME_MS, None), "cookies": int, "localStorage": int,
}  # fmt: skip


async def rpa(gateway: Gateway, method: str, path: str, body: Any = None) -> Reply:
    return await gateway.call(method, path, port="smartrpa", key=None, body=body)


async def test_a_dry_run_shows_the_canonical_steps_and_what_is_wrong(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/steps/validate", body=[{"type": "hover"}])
    finding = {"path": str, "message": str, "code": str}
    data = {"valid": bool, "format": str, "steps": [dict], "errors": [finding], "warnings": [finding]}
    shapes.assert_shape(reply.json, shapes.answer_of(data))
    assert reply.json["data"]["valid"] is True
    assert gateway.services.browser.validated == [b'[{"type":"hover"}]']
    for bad in (b"{", b"\xff", b"[" * 200 + b"]" * 200):
        assert (await gateway.call("POST", "/api/steps/validate", data=bad)).status == 400
    assert (await gateway.call("GET", "/api/steps/schema")).json == {"type": "array"}
    assert (await gateway.call("GET", "/api/steps/schema", key=None)).status == 401


async def test_traces_and_files_of_a_run_come_as_they_are_and_are_never_run(gateway: Gateway) -> None:
    await rpa(gateway, "POST", "/scrape", TASK)
    blobs = gateway.services.results.blobs
    blobs["100/trace.json"] = ("application/json", b'{"steps": []}')
    blobs["100/page.html"] = ("text/html", b"<script>alert(1)</script>")
    reply = await gateway.call("GET", "/api/runs/100/trace")
    assert (reply.status, reply.json) == (200, {"steps": []})
    assert (await rpa(gateway, "GET", "/task-trace?id=t1")).json == {"steps": []}
    reply = await gateway.call("GET", "/api/runs/100/files/page.html")
    assert reply.body == blobs["100/page.html"][1]
    assert reply.headers["content-disposition"] == "attachment"
    assert "sandbox" in reply.headers["content-security-policy"]
    assert (await rpa(gateway, "GET", "/task-file?id=t1&name=100/page.html")).status == 200
    for path in ("/api/runs/100/files/none.png", "/api/runs/101/trace", "/api/runs/100/files/..%2f..%2fx"):
        assert (await gateway.call("GET", path)).status == 404
    for path, status in (("/task-trace?id=no", 404), ("/task-trace", 400), ("/task-file?id=t1", 400)):
        assert (await rpa(gateway, "GET", path)).status == status


@pytest.mark.parametrize("port", ["scheduler", "smartrpa"])
async def test_sessions_are_listed_without_their_content_and_deleted(gateway: Gateway, port: str) -> None:
    prefix, key = ("/api", {}) if port == "scheduler" else ("", {"key": None})

    async def call(method: str, query: str) -> Reply:
        return await gateway.call(method, f"{prefix}/sessions{query}", port=port, **key)

    listed = await call("GET", "?browserId=browser001")
    found = listed.json["data"]["items"] if port == "scheduler" else listed.json["sessions"]
    shapes.assert_shape(found, [SESSION])
    assert [set(one) for one in found] == [set(SESSION)], "nothing else is shown"
    gateway.services.browser.busy.add("browser001")
    assert (await call("DELETE", "?browserId=browser001")).status == (409 if port == "scheduler" else 400)
    gateway.services.browser.busy.clear()
    reply = await call("DELETE", "?browserId=browser001")
    assert (reply.json["data"] if port == "scheduler" else reply.json)["deleted"] == 1
    assert (await call("DELETE", "")).status == (422 if port == "scheduler" else 400)
