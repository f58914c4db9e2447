"""The SmartRPA contract's lists, reports and logins, through the real gateway before fakes of the services."""

import asyncio
from typing import Any

import orjson
import pytest
from gateway_support import shapes
from gateway_support.stack import Gateway, Reply
from trawl.scheduler.v1 import runs_pb2

TASK = {"taskId": "t1", "task_name": "shop", "sortedData": [{"type": "navigation", "url": "https://example.com"}]}
ERROR = {"status": str, "message": str, "error": str}
LOGIN = {"url": "https://example.com/login", "task_name": "OZON_login", "successSelectors": ["#user-avatar"]}


async def call(gateway: Gateway, method: str, path: str, body: Any = None, **more: Any) -> Reply:
    return await gateway.call(method, path, port="smartrpa", key=None, body=body, **more)


async def test_scrape_base_starts_a_run_that_needs_no_browser(gateway: Gateway) -> None:
    reply = await call(gateway, "POST", "/scrape_base", TASK)
    assert (reply.status, reply.json["status"], reply.json["taskId"]) == (202, "accepted", "t1")
    start = gateway.scheduler.requests[-1].runs[0]
    assert (start.inline.task_type, start.inline.executor) == ("rpa_base", "rpa_base")
    assert (await call(gateway, "POST", "/scrape_base", TASK)).status == 202
    assert len(gateway.scheduler.runs) == 1
    assert (await call(gateway, "POST", "/scrape", TASK)).status == 400, "another kind of work under a live id"
    assert (await call(gateway, "POST", "/scrape_base", {"taskId": "x"})).status == 400


async def test_a_heartbeat_tells_more_than_the_status(gateway: Gateway) -> None:
    await call(gateway, "POST", "/scrape", TASK)
    run = gateway.scheduler.runs[100]
    run.status, run.step, run.progress_done, run.progress_total = runs_pb2.RUN_STATUS_RUNNING, "steps[3] click", 9, 20
    reply = await call(gateway, "GET", "/heartbeat?id=t1")
    documented = {
        "status": str, "taskId": str, "progress": int, "startedAt": shapes.TIME_MS, "timestamp": shapes.TIME_MS,
        "lastActivity": shapes.TIME_MS, "currentStep": str,
    }  # fmt: skip
    shapes.assert_shape(reply.json, documented)
    assert (reply.json["status"], reply.json["progress"], reply.json["currentStep"]) == (
        "running",
        45,
        "steps[3] click",
    )
    reply = await call(gateway, "GET", "/heartbeat?id=nobody")
    assert (reply.status, reply.json["status"]) == (200, "not_found")
    assert (await call(gateway, "GET", "/heartbeat")).status == 400


async def test_the_list_of_tasks_is_as_documented(gateway: Gateway) -> None:
    for number in range(4):
        await call(gateway, "POST", "/scrape", TASK | {"taskId": f"t{number}"})
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED)
    await gateway.scheduler.end(101, runs_pb2.RUN_STATUS_ABORTED)
    gateway.scheduler.runs[102].status = runs_pb2.RUN_STATUS_RUNNING
    reply = await call(gateway, "GET", "/tasks")
    running = {"taskId": str, "status": str, "startTime": shapes.TIME_MS, "runningTime": int}
    ended = {"taskId": str, "status": str, "completedAt": shapes.TIME_MS}
    shapes.assert_shape(reply.json, {"running": [running], "completed": [ended]})
    assert {entry["taskId"] for entry in reply.json["running"]} == {"t2", "t3"}
    assert {entry["taskId"]: entry["status"] for entry in reply.json["completed"]} == {"t0": "completed", "t1": "error"}
    assert len((await call(gateway, "GET", "/tasks?limit=1")).json["completed"]) == 1
    for limit in ("0", "x", "10001"):
        assert (await call(gateway, "GET", f"/tasks?limit={limit}")).status == 400


async def test_progress_is_taken_and_an_end_ends_the_task(gateway: Gateway) -> None:
    await call(gateway, "POST", "/scrape", TASK)
    reply = await call(gateway, "POST", "/task-progress", {"taskId": "t1", "progress": 65, "status": "running"})
    assert (reply.status, reply.json) == (200, {"status": "success", "message": "任务进度已更新"})
    assert (await call(gateway, "GET", "/task-status?id=t1")).json["progress"] == 65
    body = {"taskId": "t1", "status": "completed", "result": {"n": 1}}
    assert (await call(gateway, "POST", "/task-progress", body)).status == 200
    shown = (await call(gateway, "GET", "/task-status?id=t1")).json
    assert (shown["status"], shown["progress"], shown["result"]) == ("completed", 100, {"n": 1})
    assert (await call(gateway, "POST", "/task-progress", body)).status == 400, "it has ended"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"taskId": "nobody", "progress": 1}, 404, "taskId"),
        ({"progress": 1}, 400, "taskId"),
        ({"taskId": "t1"}, 400, "progress"),
        ({"taskId": "t1", "progress": 101}, 400, "progress"),
        ({"taskId": "t1", "progress": -1}, 400, "progress"),
        ({"taskId": "t1", "progress": "65"}, 400, "progress"),
        ({"taskId": "t1", "progress": True}, 400, "progress"),
        ({"taskId": "t1", "status": "paused"}, 400, "status"),
        ({"taskId": "t1", "status": "error", "error": ["x"]}, 400, "error"),
    ],
)
async def test_a_bad_report_names_its_field(gateway: Gateway, body: Any, status: int, field: str) -> None:
    await call(gateway, "POST", "/scrape", TASK)
    reply = await call(gateway, "POST", "/task-progress", body)
    assert (reply.status, reply.json["field"]) == (status, field)
    shapes.assert_shape(reply.json, ERROR)


async def logging_in(gateway: Gateway, body: Any) -> "asyncio.Task[Reply]":
    waiting = asyncio.create_task(call(gateway, "POST", "/login", body))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs and not waiting.done():
            await asyncio.sleep(0.01)
    return waiting


async def test_a_login_answers_once_it_has_worked_and_its_run_holds_no_password(gateway: Gateway) -> None:
    secret = {"username": "visitor", "password": "geheim-77", "row": {"browserId": 7, "pw": "geheim-78"}}
    waiting = await logging_in(gateway, LOGIN | secret)
    (asked,) = [one for one in gateway.scheduler.requests if isinstance(one, runs_pb2.StartRunsRequest)]
    start = asked.runs[0]
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED)
    reply = await waiting
    assert (reply.status, reply.json) == (200, {"status": "success", "message": "登录成功，cookies已保存"})
    parameters = orjson.loads(start.parameters_json)
    assert parameters["login"] == {
        "url": LOGIN["url"], "successSelectors": ["#user-avatar"], "sealed": "sealed-1",
    }  # fmt: skip
    assert parameters["browserId"] == "7"
    assert b"geheim" not in start.SerializeToString()
    sealed = orjson.loads(gateway.services.browser.sealed[0])
    assert (sealed["password"], sealed["url"], sealed["row"]["pw"]) == ("geheim-77", LOGIN["url"], "geheim-78")


async def test_a_login_that_fails_says_why(gateway: Gateway) -> None:
    waiting = await logging_in(gateway, LOGIN)
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_FAILED, error_message="no form was found")
    reply = await waiting
    assert reply.status == 500
    shapes.assert_shape(reply.json, ERROR)
    assert (reply.json["message"], reply.json["error"]) == ("登录失败", "no form was found")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": None}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"task_name": ""}, "task_name"),
        ({"successSelectors": "#a"}, "successSelectors"),
        ({"successSelectors": [1]}, "successSelectors[0]"),
        ({"password": 5}, "password"),
        ({"sortedData": [{"type": "eval"}]}, "sortedData[0].type"),
        ({"row": [1]}, "row[0]"),
        ({"浏览器id": "a\nb"}, "浏览器id"),
        ({"timeout": -1}, "timeout"),
    ],
)
async def test_a_bad_login_names_its_field(shared_gateway: Gateway, change: Any, field: str) -> None:
    reply = await call(shared_gateway, "POST", "/login", LOGIN | change)
    assert (reply.status, reply.json["field"]) == (400, field)
    assert not shared_gateway.scheduler.runs
