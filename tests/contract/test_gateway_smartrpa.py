"""The SmartRPA contract over real HTTP: every documented shape, status and message."""

import asyncio
from typing import Any

import orjson
import pytest
from chassis.errors import Unavailable
from gateway_support import shapes
from gateway_support.stack import Gateway, Reply, Stores, running_gateway
from trawl.scheduler.v1 import runs_pb2

TASK = {"taskId": "t1", "task_name": "shop", "sortedData": [{"type": "navigation", "url": "https://example.com"}]}
ERROR = {"status": str, "message": str, "error": str}


async def call(gateway: Gateway, method: str, path: str, body: Any = None, **more: Any) -> Reply:
    return await gateway.call(method, path, port="smartrpa", key=None, body=body, **more)


async def scraped(gateway: Gateway, **fields: Any) -> Reply:
    return await call(gateway, "POST", "/scrape", TASK | fields)


async def test_scrape_accepts_a_task_as_documented(gateway: Gateway) -> None:
    reply = await scraped(gateway)
    assert reply.status == 202
    assert reply.json == {"status": "accepted", "taskId": "t1", "message": "任务已接受，开始处理"}
    start = gateway.scheduler.requests[-1].runs[0]
    assert (start.inline.name, start.inline.task_type, start.inline.executor) == ("shop", "rpa", "rpa")
    assert (start.contract, start.external_id, start.timeout_ms) == ("smartrpa", "t1", 1_800_000)
    assert orjson.loads(start.parameters_json) == TASK


async def test_the_same_task_again_while_it_lives_starts_nothing(gateway: Gateway) -> None:
    await scraped(gateway, row={"a": 1, "b": 2})
    assert (await scraped(gateway, row={"b": 2, "a": 1})).status == 202
    assert len(gateway.scheduler.runs) == 1


async def test_another_body_under_a_live_id_is_400_and_a_fresh_run_once_it_ended(gateway: Gateway) -> None:
    await scraped(gateway)
    reply = await scraped(gateway, row={"keyword": "lamp"})
    assert reply.status == 400
    shapes.assert_shape(reply.json, ERROR)
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED)
    assert (await scraped(gateway, row={"keyword": "lamp"})).status == 202
    assert len(gateway.scheduler.runs) == 2


@pytest.mark.parametrize(
    ("body", "external_id"),
    [
        ({"taskName": "x", "taskId": 42}, "42"),
        ({"task_name": "x", "row": {"系统SKU": "SKU-7"}}, "SKU-7"),
        ({"task_name": "x", "taskId": "", "row": [{"系统SKU": 7}]}, "7"),
    ],
)
async def test_aliases_of_id_and_name_are_taken(gateway: Gateway, body: Any, external_id: str) -> None:
    reply = await call(gateway, "POST", "/scrape", body)
    assert (reply.status, reply.json["taskId"]) == (202, external_id)
    start = gateway.scheduler.requests[-1].runs[0]
    assert (start.external_id, start.inline.name) == (external_id, "x")


@pytest.mark.parametrize(("minutes", "timeout_ms"), [(5, 300_000), (0.5, 30_000), (90, 1_800_000), (None, 1_800_000)])
async def test_a_timeout_is_in_minutes_and_ends_at_thirty(gateway: Gateway, minutes: Any, timeout_ms: int) -> None:
    await scraped(gateway, timeout=minutes)
    assert gateway.scheduler.requests[-1].runs[0].timeout_ms == timeout_ms


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"taskId": None}, "taskId"),
        ({"taskId": ["x"]}, "taskId"),
        ({"taskId": True}, "taskId"),
        ({"taskId": "a\nb"}, "taskId"),
        ({"task_name": None}, "task_name"),
        ({"task_name": {"$ne": 1}}, "task_name"),
        ({"row": "x"}, "row"),
        ({"row": [1]}, "row[0]"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"BASE_URL": 1}, "BASE_URL"),
        ({"adsPowerId": 1}, "adsPowerId"),
        ({"sortedData": "x"}, "sortedData"),
        ({"sortedData": [{"type": "click"}, {"type": "eval"}]}, "sortedData[1].type"),
        ({"sortedData": [{"type": 1}]}, "sortedData[0].type"),
        ({"sortedData": ["x"]}, "sortedData[0]"),
        ({"sortedData": [{"type": "loop", "loopEvents": [{"type": "no"}]}]}, "sortedData[0].loopEvents[0].type"),
        ({"sortedData": {"title": "x", "steps": [{"type": "rm"}]}}, "sortedData.steps[0].type"),
        ({"sortedData": {"title": "x", "steps": 5}}, "sortedData.steps"),
        ({"sortedData": {"title": "x"}}, "sortedData"),
        ({"sortedData": {"clicks": [], "gestures": [{"kind": "pinch"}]}}, "sortedData.gestures"),
        ({"sortedData": {"clicks": [{"type": "scroll"}]}}, "sortedData.clicks[0].type"),
        ({"sortedData": {"clicks": [{}, 5]}}, "sortedData.clicks[1]"),
        ({"sortedData": {"loops": [{"loopEvents": [{"type": "no"}]}]}}, "sortedData.loops[0].loopEvents[0].type"),
    ],
)
async def test_a_bad_field_is_400_that_names_it(shared_gateway: Gateway, change: Any, field: str) -> None:
    reply = await scraped(shared_gateway, **change)
    assert reply.status == 400, reply.body
    shapes.assert_shape(reply.json, ERROR)
    assert (reply.json["status"], reply.json["field"]) == ("error", field)
    assert not shared_gateway.scheduler.runs


@pytest.mark.parametrize(
    "events",
    [
        [{"type": kind} for kind in ("navigation", "click", "input", "keydown", "scroll", "output", "loop_new")],
        [{"type": "loop", "loopEvents": [{"type": "click"}], "loopCount": 2}],
        [{"type": "navigate", "value": "https://example.com"}, {"type": "extract"}],
        {"title": "x", "steps": [{"type": "setViewport"}, {"type": "keyDown"}]},
        [{"type": kind} for kind in ("navigation", "wait_for", "key_down", "key_up", "close_tab", "emulate_network")],
        {"clicks": [{"element": {}}], "navigations": [], "loops": [{"loopEvents": [{"type": "set_viewport"}]}]},
    ],
)
async def test_all_three_kinds_of_steps_are_taken(gateway: Gateway, events: Any) -> None:
    assert (await scraped(gateway, sortedData=events)).status == 202


async def test_waiting_for_a_task_answers_the_moment_it_ends(gateway: Gateway) -> None:
    waiting = asyncio.create_task(call(gateway, "POST", "/scrape_dengdai", TASK))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs:
            await asyncio.sleep(0.01)
    assert not waiting.done()
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED, result_json='{"名": [1]}'.encode())
    reply = await waiting
    assert reply.status == 200
    timed = {"status": str, "taskId": str, "message": str, "result": dict, "timestamp": shapes.TIME_MS}
    shapes.assert_shape(reply.json, timed)
    assert (reply.json["status"], reply.json["message"], reply.json["result"]) == ("success", "任务已完成", {"名": [1]})


async def test_an_event_that_was_missed_is_made_up_for(gateway: Gateway) -> None:
    gateway.scheduler.publish = None
    waiting = asyncio.create_task(call(gateway, "POST", "/scrape_dengdai", TASK))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs:
            await asyncio.sleep(0.01)
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED)
    assert (await asyncio.wait_for(waiting, 40)).status == 200


@pytest.mark.parametrize(
    ("status", "message"), [(runs_pb2.RUN_STATUS_FAILED, "任务执行失败"), (runs_pb2.RUN_STATUS_ABORTED, "任务已取消")]
)
async def test_a_waited_for_task_that_fails_is_500(gateway: Gateway, status: Any, message: str) -> None:
    waiting = asyncio.create_task(call(gateway, "POST", "/scrape_dengdai", TASK))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs:
            await asyncio.sleep(0.01)
    await gateway.scheduler.end(100, status, error_message="no such button")
    reply = await waiting
    assert reply.status == 500
    shapes.assert_shape(reply.json, ERROR)
    assert (reply.json["message"], reply.json["error"]) == (message, "no such button")


async def test_a_client_that_goes_away_leaves_the_run_going(gateway: Gateway) -> None:
    waiting = asyncio.create_task(call(gateway, "POST", "/scrape_dengdai", TASK))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs:
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    reply = await call(gateway, "GET", "/task-status?id=t1")
    assert reply.json["status"] == "running"
    assert not [r for r in gateway.scheduler.requests if isinstance(r, runs_pb2.AbortRunRequest)]


async def test_a_wait_that_is_too_long_ends_while_the_run_goes_on(stores: Stores) -> None:
    async with running_gateway(stores, wait_seconds=0.2) as gateway:
        reply = await call(gateway, "POST", "/scrape_dengdai", TASK)
        assert reply.status == 503
        shapes.assert_shape(reply.json, ERROR)
        assert gateway.scheduler.runs[100].status == runs_pb2.RUN_STATUS_PENDING


async def test_a_stopping_gateway_lets_those_who_wait_go(stores: Stores) -> None:
    async with running_gateway(stores) as gateway:
        waiting = asyncio.create_task(call(gateway, "POST", "/scrape_dengdai", TASK))
        async with asyncio.timeout(40):
            while not gateway.scheduler.runs:
                await asyncio.sleep(0.01)
        gateway.stop()
        assert (await asyncio.wait_for(waiting, 40)).status == 503


async def test_the_status_of_a_task_is_as_documented(gateway: Gateway) -> None:
    await scraped(gateway)
    run = gateway.scheduler.runs[100]
    reply = await call(gateway, "GET", "/task-status?id=t1")
    documented = {
        "status": str, "taskId": str, "progress": int, "startedAt": shapes.TIME_MS, "timestamp": shapes.TIME_MS
    }  # fmt: skip
    shapes.assert_shape(reply.json, documented)
    assert (reply.json["status"], reply.json["progress"]) == ("running", 0)
    run.status, run.progress_done, run.progress_total = runs_pb2.RUN_STATUS_RUNNING, 9, 20
    assert (await call(gateway, "GET", "/task-status?id=t1")).json["progress"] == 45
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED, result_json=b'{"n":1}')
    reply = await call(gateway, "GET", "/task-status?id=t1")
    shapes.assert_shape(reply.json, documented)
    assert (reply.json["status"], reply.json["progress"], reply.json["result"]) == ("completed", 100, {"n": 1})


async def test_a_cancelled_task_is_an_error_that_says_so(gateway: Gateway) -> None:
    await scraped(gateway)
    reply = await call(gateway, "POST", "/cancel-task", {"taskId": "t1"})
    assert (reply.status, reply.json) == (200, {"status": "success", "message": "任务取消请求已发送"})
    reply = await call(gateway, "GET", "/task-status?id=t1")
    assert (reply.json["status"], reply.json["message"]) == ("error", "任务已取消")
    assert (await call(gateway, "POST", "/cancel-task", {"taskId": "t1"})).status == 400


async def test_unknown_ids_and_missing_ones(gateway: Gateway) -> None:
    reply = await call(gateway, "GET", "/task-status?id=nobody")
    assert (reply.status, reply.json["status"], reply.json["taskId"]) == (200, "not_found", "nobody")
    for method, path, body, status in (
        ("GET", "/task-status", None, 400),
        ("GET", "/task-status?id=", None, 400),
        ("POST", "/cancel-task", {"taskId": "nobody"}, 404),
        ("POST", "/cancel-task", {}, 400),
    ):
        reply = await call(gateway, method, path, body)
        assert reply.status == status
        shapes.assert_shape(reply.json, ERROR)


async def test_what_is_down_answers_in_the_contracts_shape(gateway: Gateway) -> None:
    gateway.scheduler.failure = Unavailable("the scheduler is down", dependency="nats")
    reply = await scraped(gateway)
    assert reply.status == 503
    assert reply.headers["Retry-After"]
    shapes.assert_shape(reply.json, ERROR)


async def test_the_contract_is_also_below_the_schedulers_port_with_its_key(gateway: Gateway) -> None:
    assert (await gateway.call("POST", "/rpa/scrape", body=TASK)).status == 202
    reply = await gateway.call("POST", "/rpa/scrape", body=TASK, key=None)
    assert reply.status == 401
    shapes.assert_shape(reply.json, ERROR)
