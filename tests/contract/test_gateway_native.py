"""The scheduler contract over real HTTP: every documented shape, status and error."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from gateway_support import shapes
from gateway_support.stack import Gateway
from trawl.scheduler.v1 import runs_pb2

NEW = {"name": "prices", "task_type": "python", "executor": "python", "command": "prices.py"}


async def created(gateway: Gateway, **fields: Any) -> int:
    reply = await gateway.call("POST", "/api/tasks", body=NEW | fields)
    assert reply.status == 201, reply.body
    return int(reply.json["data"]["id"])


async def started(gateway: Gateway) -> int:
    task_id = await created(gateway)
    reply = await gateway.call("POST", f"/api/tasks/{task_id}/trigger")
    return int(reply.json["data"]["run_id"])


async def test_a_created_task_shows_every_documented_field_with_its_defaults(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=NEW)
    assert reply.status == 201
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.TASK))
    data = reply.json["data"]
    assert (data["retry_count"], data["timeout_seconds"], data["priority"], data["status"]) == (
        3,
        3600,
        "normal",
        "active",
    )
    assert data["schedule"] is None
    assert data["last_run_at"] is None
    assert data["metadata"] == {}


async def test_a_task_keeps_what_it_was_given(gateway: Gateway) -> None:
    given = NEW | {
        "description": "每晚", "arguments": ["--a", "b c"], "schedule": "0 2 * * *", "priority": "critical",
        "retry_count": 0, "timeout_seconds": 60, "dependencies": [7, "8"], "tags": ["x"],
        "metadata": {"params": {"n": 9007199254740993}}, "unknown": "ignored",
    }  # fmt: skip
    task_id = (await gateway.call("POST", "/api/tasks", body=given)).json["data"]["id"]
    shown = (await gateway.call("GET", f"/api/tasks/{task_id}")).json["data"]
    shapes.assert_shape(shown, shapes.TASK_DETAIL)
    expected = given | {"dependencies": ["7", "8"]}
    del expected["unknown"]
    assert {name: shown[name] for name in expected} == expected


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"name": None}, "name", "required"),
        ({"name": "  "}, "name", "required"),
        ({"name": 7}, "name", "string"),
        ({"name": "x" * 201}, "name", "max_length"),
        ({"name": "a\x00b"}, "name", "characters"),
        ({"command": None}, "command", "required"),
        ({"command": ""}, "command", "required"),
        ({"task_type": "a.b"}, "task_type", "pattern"),
        ({"executor": "a>*"}, "executor", "pattern"),
        ({"arguments": "x"}, "arguments", "array"),
        ({"arguments": [1]}, "arguments[0]", "string"),
        ({"priority": "urgent"}, "priority", "enum"),
        ({"priority": {"$ne": 1}}, "priority", "enum"),
        ({"retry_count": -1}, "retry_count", "min"),
        ({"retry_count": 101}, "retry_count", "max"),
        ({"retry_count": True}, "retry_count", "integer"),
        ({"retry_count": "3"}, "retry_count", "integer"),
        ({"retry_count": 10**30}, "retry_count", "integer"),
        ({"timeout_seconds": 0}, "timeout_seconds", "min"),
        ({"timeout_seconds": 604_801}, "timeout_seconds", "max"),
        ({"tags": [None]}, "tags[0]", "string"),
        ({"metadata": []}, "metadata", "object"),
        ({"schedule": "bad"}, "schedule", "cron"),
    ],
)
async def test_a_bad_field_is_422_that_names_it(shared_gateway: Gateway, change: Any, field: str, rule: str) -> None:
    data = (
        str(NEW | change).replace("'", '"').replace("None", "null").replace("True", "true").replace("\\x00", "\\u0000")
    )
    reply = await shared_gateway.call("POST", "/api/tasks", data=data.encode())
    assert reply.status == 422, reply.body
    shapes.assert_shape(reply.json, shapes.ERROR)
    error = reply.json["error"]
    assert (reply.json["success"], error["code"]) == (False, "VALIDATION_ERROR")
    assert (error["details"]["field"], error["details"]["rule"]) == (field, rule)
    assert "value" in error["details"]


async def test_a_taken_name_is_409(gateway: Gateway) -> None:
    await created(gateway)
    reply = await gateway.call("POST", "/api/tasks", body=NEW)
    assert (reply.status, reply.json["error"]["code"]) == (409, "RESOURCE_CONFLICT")


async def test_a_list_of_tasks_is_paged_and_filtered(gateway: Gateway) -> None:
    for number in range(3):
        await created(gateway, name=f"t{number}")
    reply = await gateway.call("GET", "/api/tasks?page=2&size=2&sort=name&order=asc&priority=normal")
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.page_of(shapes.TASK_ITEM)))
    data = reply.json["data"]
    assert (data["total"], data["page"], data["size"], data["total_pages"], len(data["items"])) == (3, 2, 2, 2, 1)
    request = gateway.scheduler.requests[-1]
    assert (request.sort, request.ascending, request.offset, request.limit, request.priority) == ("name", True, 2, 2, 2)
    data = (await gateway.call("GET", "/api/tasks?search=t1")).json["data"]
    assert [task["name"] for task in data["items"]] == ["t1"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"), ("page=x", "page"), ("size=1001", "size"), ("size=-1", "size"), ("sort=$where", "sort"),
        ("sort=metadata.secret", "sort"), ("order=up", "order"), ("status=gone", "status"), ("priority=x", "priority"),
        ("search=%00", "search"), ("page=99999999999999999999", "page"),
    ],
)  # fmt: skip
async def test_a_bad_query_field_is_422_that_names_it(shared_gateway: Gateway, query: str, field: str) -> None:
    reply = await shared_gateway.call("GET", f"/api/tasks?{query}")
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


async def test_search_text_reaches_the_scheduler_as_plain_text(gateway: Gateway) -> None:
    reply = await gateway.call("GET", "/api/tasks?search=%7B%22$where%22:1%7D.*")
    assert reply.status == 200
    assert gateway.scheduler.requests[-1].search == '{"$where":1}.*'


async def test_an_update_changes_only_what_is_given(gateway: Gateway) -> None:
    task_id = await created(gateway, tags=["a"], schedule="0 2 * * *")
    reply = await gateway.call(
        "PUT", f"/api/tasks/{task_id}", body={"priority": "high", "schedule": None, "name": None}
    )
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.TASK))
    data = reply.json["data"]
    assert (data["priority"], data["schedule"], data["name"], data["tags"]) == ("high", None, "prices", ["a"])
    assert sorted(gateway.scheduler.requests[-1].fields) == ["priority", "schedule"]


async def test_what_a_client_read_can_be_put_back_unchanged(gateway: Gateway) -> None:
    task_id = await created(gateway, dependencies=["9"], metadata={"a": 1}, arguments=["x"])
    shown = (await gateway.call("GET", f"/api/tasks/{task_id}")).json["data"]
    reply = await gateway.call("PUT", f"/api/tasks/{task_id}", body=shown)
    assert reply.status == 200
    again = reply.json["data"]
    assert {**again, "updated_at": ""} == {**{key: shown[key] for key in again}, "updated_at": ""}


async def test_pause_resume_and_delete_answer_as_documented(gateway: Gateway) -> None:
    task_id = await created(gateway)
    for action, status in (("pause", "paused"), ("resume", "active")):
        data = (await gateway.call("POST", f"/api/tasks/{task_id}/{action}")).json["data"]
        shapes.assert_shape(data, {"id": int, "status": str, "updated_at": shapes.TIME})
        assert data["status"] == status
    data = (await gateway.call("DELETE", f"/api/tasks/{task_id}")).json["data"]
    assert data == {"message": "任务删除成功", "deleted_id": task_id}
    assert (await gateway.call("GET", f"/api/tasks/{task_id}")).status == 404


async def test_deleting_what_another_task_depends_on_is_409(gateway: Gateway) -> None:
    task_id = await created(gateway)
    await created(gateway, name="next", dependencies=[str(task_id)])
    assert (await gateway.call("DELETE", f"/api/tasks/{task_id}")).status == 409


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path_id", "status"), [("7", 404), ("abc", 422), ("-1", 422), ("9" * 30, 422), ("0", 422)])
async def test_an_id_that_is_none_is_an_error(shared_gateway: Gateway, path_id: str, status: int) -> None:
    for method, path in (("GET", ""), ("POST", "/trigger"), ("PUT", ""), ("DELETE", "")):
        reply = await shared_gateway.call(
            method, f"/api/tasks/{path_id}{path}", body={} if method in ("PUT", "POST") else None
        )
        assert reply.status == status, (method, path, reply.body)


async def test_a_trigger_needs_no_body(gateway: Gateway) -> None:
    task_id = await created(gateway)
    reply = await gateway.call("POST", f"/api/tasks/{task_id}/trigger")
    assert reply.status == 200
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.TRIGGERED))
    assert reply.json["data"]["status"] == "pending"


async def test_an_estimate_lies_after_the_start_whatever_is_known_of_the_task(gateway: Gateway) -> None:
    task_id = await created(gateway)
    seconds = []
    for body in (None, {"timeout_seconds": 60}):
        data = (await gateway.call("POST", f"/api/tasks/{task_id}/trigger", body=body)).json["data"]
        run = gateway.scheduler.runs[data["run_id"]]
        estimate = datetime.fromisoformat(data["estimated_completion"]).timestamp()
        seconds.append(round(estimate - run.spec.created_ms // 1000))
    assert seconds == [3600, 60]


async def test_a_trigger_hands_on_what_it_was_given(gateway: Gateway) -> None:
    task_id = await created(gateway)
    body = {"parameters": {"a": [1, "二"]}, "priority": "high", "timeout_seconds": 60, "ignore_dependencies": True}
    await gateway.call("POST", f"/api/tasks/{task_id}/trigger", body=body)
    start = gateway.scheduler.requests[-1].runs[0]
    assert start.parameters_json == '{"a":[1,"二"]}'.encode()
    assert (start.priority, start.timeout_ms, start.ignore_dependencies) == (runs_pb2.PRIORITY_HIGH, 60_000, True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [({"parameters": []}, "parameters"), ({"priority": 1}, "priority"), ({"timeout_seconds": "1"}, "timeout_seconds"),
     ({"ignore_dependencies": 1}, "ignore_dependencies")],
)  # fmt: skip
async def test_a_bad_trigger_is_422(shared_gateway: Gateway, body: Any, field: str) -> None:
    reply = await shared_gateway.call("POST", "/api/tasks/1/trigger", body=body)
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


async def test_concurrent_triggers_share_calls_and_each_gets_its_own_run(gateway: Gateway) -> None:
    task_id = await created(gateway)
    replies = await asyncio.gather(*(gateway.call("POST", f"/api/tasks/{task_id}/trigger") for _ in range(80)))
    assert len({reply.json["data"]["run_id"] for reply in replies}) == 80
    assert sum(gateway.scheduler.starts) == 80
    assert len(gateway.scheduler.starts) < 80


async def test_one_refused_trigger_of_a_shared_call_harms_no_other(gateway: Gateway) -> None:
    task_id = await created(gateway)
    ids = [task_id, 77, task_id, 78]
    replies = await asyncio.gather(*(gateway.call("POST", f"/api/tasks/{i}/trigger") for i in ids))
    assert [reply.status for reply in replies] == [200, 404, 200, 404]


async def test_a_batch_starts_many_runs_in_few_calls(gateway: Gateway) -> None:
    task_id = await created(gateway)
    reply = await gateway.call("POST", f"/api/tasks/{task_id}/trigger/batch", body={"count": 1200})
    data = reply.json["data"]
    assert (reply.status, data["accepted"], len(set(data["run_ids"])), data["errors"]) == (200, 1200, 1200, [])
    assert gateway.scheduler.starts == [500, 500, 200]
    runs = [{"parameters": {"n": n}} for n in range(3)]
    await gateway.call("POST", f"/api/tasks/{task_id}/trigger/batch", body={"runs": runs})
    sent = [start.parameters_json for start in gateway.scheduler.requests[-1].runs]
    assert sent == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body",
    [{}, {"count": 0}, {"count": 10_001}, {"runs": []}, {"runs": [1]}, {"runs": [{"parameters": 1}]}, {"runs": {}}],
)
async def test_a_bad_batch_is_422(shared_gateway: Gateway, body: Any) -> None:
    assert (await shared_gateway.call("POST", "/api/tasks/1/trigger/batch", body=body)).status == 422


async def test_a_batch_of_an_unknown_task_is_404(gateway: Gateway) -> None:
    assert (await gateway.call("POST", "/api/tasks/5/trigger/batch", body={"count": 2})).status == 404


async def test_a_run_shows_every_documented_field(gateway: Gateway) -> None:
    run_id = await started(gateway)
    shapes.assert_shape((await gateway.call("GET", f"/api/runs/{run_id}")).json, shapes.answer_of(shapes.RUN_DETAIL))
    gateway.scheduler.logs[run_id] = [runs_pb2.LogLine(time_ms=1_700_000_000_000, level="info", message="好")]
    await gateway.scheduler.end(run_id, runs_pb2.RUN_STATUS_COMPLETED, result_json=b'{"n": 1}', attempt=3)
    data = (await gateway.call("GET", f"/api/runs/{run_id}")).json["data"]
    shapes.assert_shape(data, shapes.RUN_DETAIL)
    assert (data["status"], data["result"], data["execution_time"], data["retry_count"]) == (
        "completed",
        {"n": 1},
        1.5,
        2,
    )
    assert data["logs"] == [{"timestamp": "2023-11-14T22:13:20Z", "level": "info", "message": "好"}]
    assert data["worker_hostname"] == "host-1"


async def test_parameters_kept_elsewhere_are_fetched(gateway: Gateway) -> None:
    run_id = await started(gateway)
    gateway.scheduler.runs[run_id].spec.parameters_by_reference = True
    assert (await gateway.call("GET", f"/api/runs/{run_id}")).json["data"]["parameters"] == {"big": True}


async def test_a_list_of_runs_is_filtered_by_day_and_status(gateway: Gateway) -> None:
    await started(gateway)
    query = "task_id=1&status=pending&start_date=2024-01-01&end_date=2024-01-31&sort=started_at"
    reply = await gateway.call("GET", f"/api/runs?{query}")
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.walked_of(shapes.RUN_ITEM)))
    assert reply.json["data"]["total"] == 1
    request = gateway.scheduler.requests[-1]
    assert (request.from_ms, request.until_ms) == (1_704_067_200_000, 1_706_745_600_000)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "field"),
    [("start_date=yesterday", "start_date"), ("end_date=2024-13-01", "end_date"), ("status=RUNNING", "status"),
     ("task_id=x", "task_id"), ("sort=result", "sort"), ("start_date=2024-01-01T00:00:00Z", "start_date")],
)  # fmt: skip
async def test_a_bad_filter_of_runs_is_422(shared_gateway: Gateway, query: str, field: str) -> None:
    reply = await shared_gateway.call("GET", f"/api/runs?{query}")
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


async def test_abort_answers_as_documented_once_the_run_has_stopped(gateway: Gateway) -> None:
    run_id = await started(gateway)
    data = (await gateway.call("POST", f"/api/runs/{run_id}/abort")).json["data"]
    shapes.assert_shape(data, {"id": int, "status": str, "completed_at": shapes.TIME, "message": str})
    assert (data["status"], data["message"]) == ("aborted", "任务运行已中止")
    assert gateway.scheduler.requests[-1].wait_ms == 5_000
    assert (await gateway.call("POST", f"/api/runs/{run_id}/abort")).status == 409


async def test_abort_of_a_run_that_still_stops_says_so(gateway: Gateway) -> None:
    run_id = await started(gateway)
    gateway.scheduler.abort_ends = False
    reply = await gateway.call("POST", f"/api/runs/{run_id}/abort")
    assert (reply.status, reply.json["data"]["status"], reply.json["data"]["completed_at"]) == (200, "running", None)


async def test_restart_answers_with_both_runs(gateway: Gateway) -> None:
    run_id = await started(gateway)
    data = (await gateway.call("POST", f"/api/runs/{run_id}/restart")).json["data"]
    shapes.assert_shape(data, {"original_run_id": int, "new_run_id": int, "status": str, "started_at": shapes.TIME})
    assert data["original_run_id"] == run_id != data["new_run_id"]


async def test_logs_and_results_of_a_run_are_paged(gateway: Gateway) -> None:
    run_id = await started(gateway)
    gateway.scheduler.logs[run_id] = [runs_pb2.LogLine(time_ms=1, level="info", message=str(n)) for n in range(5)]
    data = (await gateway.call("GET", f"/api/runs/{run_id}/logs?page=2&size=2")).json["data"]
    assert ([line["message"] for line in data["items"]], data["total"], data["total_pages"]) == (["2", "3"], 5, 3)
    reply = await gateway.call("GET", f"/api/runs/{run_id}/results?size=2")
    item = {
        "id": str, "run_id": int, "task_id": int, "data_type": str, "data": dict, "metadata": dict,
        "created_at": shapes.TIME,
    }  # fmt: skip
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.walked_of(item)))
    assert (len(reply.json["data"]["items"]), reply.json["data"]["total"]) == (2, 3)
    for part in ("logs", "results"):
        assert (await gateway.call("GET", f"/api/runs/555/{part}")).status == 404
