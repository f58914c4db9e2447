"""Workers that speak only HTTP, at the gateway: shapes, checks, roles. The services are fakes."""

import asyncio
from typing import Any

import pytest
from gateway_support import shapes
from gateway_support.fake_leases import RUN, TOKEN
from gateway_support.stack import Gateway
from trawl.scheduler.v1 import lease_pb2

NEW = {"hostname": "server-01", "ip_address": "192.168.1.100", "port": 8080, "task_types": ["reports", "shell"]}
HEARD = {"worker_id": str, "status": str, "last_heartbeat": shapes.TIME, "message": str, "abort": [int],
         "wanted_status": str}  # fmt: skip
LEASED = {"run_id": int, "task_id": int, "task_name": str, "task_type": str, "executor": str, "command": str,
          "arguments": [str], "parameters": dict, "attempt": int, "lease_token": str, "lease_expires_at": shapes.TIME,
          "timeout_seconds": float}  # fmt: skip
TOKEN_TEXT = str(TOKEN)


async def registered(gateway: Gateway, **fields: Any) -> str:
    """The id of a new worker."""
    reply = await gateway.call("POST", "/api/workers", body=NEW | fields)
    assert reply.status == 201, reply.body
    return str(reply.json["data"]["id"])


async def test_registering_answers_every_documented_field(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/workers", body=NEW | {"metadata": {"rack": 4}})
    assert reply.status == 201
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.WORKER | {"metadata": dict}))
    data = reply.json["data"]
    assert (data["max_concurrent_tasks"], data["current_task_count"], data["status"]) == (5, 0, "active")
    assert (data["task_types"], data["metadata"]) == (["reports", "shell"], {"rack": 4})
    # Who speaks HTTP has more time between heartbeats than a process of our own.
    assert data["heartbeat_interval_seconds"] == 10


async def test_a_repeated_registration_with_an_idempotency_key_makes_one_worker(gateway: Gateway) -> None:
    replies = [
        await gateway.call("POST", "/api/workers", body=NEW, headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]
    assert replies[0].json["data"]["id"] == replies[1].json["data"]["id"]
    assert len(gateway.services.registry.registered) == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hostname": None}, "hostname"),
        ({"hostname": 5}, "hostname"),
        ({"ip_address": None}, "ip_address"),
        ({"port": None}, "port"),
        ({"port": "80"}, "port"),
        ({"port": 70_000}, "port"),
        ({"task_types": None}, "task_types"),
        ({"task_types": "shell"}, "task_types"),
        ({"task_types": [1]}, "task_types[0]"),
        ({"max_concurrent_tasks": 0}, "max_concurrent_tasks"),
        ({"max_concurrent_tasks": 1.5}, "max_concurrent_tasks"),
        ({"metadata": []}, "metadata"),
        ({"id": 3}, "id"),
        ({"heartbeat_interval_seconds": 0.5}, "heartbeat_interval_seconds"),
        ({"heartbeat_interval_seconds": "5"}, "heartbeat_interval_seconds"),
        ({"heartbeat_interval_seconds": True}, "heartbeat_interval_seconds"),
    ],
)
async def test_a_bad_registration_is_refused_by_the_fields_name(
    shared_gateway: Gateway, change: dict[str, Any], field: str
) -> None:
    reply = await shared_gateway.call("POST", "/api/workers", body=NEW | change)
    assert (reply.status, reply.json["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert reply.json["error"]["details"]["field"] == field
    assert not shared_gateway.services.registry.registered


async def test_a_heartbeat_answers_as_documented_and_which_runs_to_stop(gateway: Gateway) -> None:
    worker = await registered(gateway)
    gateway.services.leases.abort = True
    body = {"current_task_count": 2, "load_average": 0.4, "memory_usage": 512, "cpu_usage": 25.5,
            "current_tasks": [RUN, 999], "metadata": {"rack": 5}}  # fmt: skip
    reply = await gateway.call("POST", f"/api/workers/{worker}/heartbeat", body=body)
    shapes.assert_shape(reply.json, shapes.answer_of(HEARD))
    data = reply.json["data"]
    assert (data["worker_id"], data["status"], data["message"]) == (worker, "active", "心跳接收成功")
    # What was asked to stop, and what is somebody else's by now.
    assert (data["abort"], data["lost"]) == ([RUN, 999], [999])
    beat = gateway.services.registry.requests[-1]
    assert (beat.current_task_count, beat.memory_usage, beat.cpu_usage, list(beat.current_runs)) == (
        2, 512, 25.5, [RUN, 999])  # fmt: skip
    assert gateway.services.registry.registered[worker].metadata_json == b'{"rack":5}'


async def test_a_heartbeat_without_a_body_is_a_sign_of_life(gateway: Gateway) -> None:
    worker = await registered(gateway)
    reply = await gateway.call("POST", f"/api/workers/{worker}/heartbeat")
    assert (reply.status, reply.json["data"]["abort"]) == (200, [])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"current_task_count": "2"}, "current_task_count"),
        ({"current_task_count": -1}, "current_task_count"),
        ({"load_average": "high"}, "load_average"),
        ({"cpu_usage": -0.1}, "cpu_usage"),
        ({"memory_usage": 1.5}, "memory_usage"),
        ({"current_tasks": 7}, "current_tasks"),
        ({"current_tasks": [1, "2"]}, "current_tasks[1]"),
        ({"current_tasks": [2**64 - 1]}, "current_tasks[0]"),
        ({"metadata": "x"}, "metadata"),
    ],
)
async def test_a_bad_heartbeat_is_refused_by_the_fields_name(
    shared_gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    worker = await registered(shared_gateway)
    reply = await shared_gateway.call("POST", f"/api/workers/{worker}/heartbeat", body=body)
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


async def test_an_unknown_worker_is_404_and_a_built_in_one_409(gateway: Gateway) -> None:
    for path in ("heartbeat", "lease"):
        assert (await gateway.call("POST", f"/api/workers/nobody/{path}", body={})).status == 404
        reply = await gateway.call("POST", f"/api/workers/worker-1/{path}", body={})
        assert (reply.status, reply.json["error"]["code"]) == (409, "RESOURCE_CONFLICT")
    reply = await gateway.call("POST", "/api/workers", body=NEW | {"id": "worker-1"})
    assert (reply.status, reply.json["error"]["details"]["field"]) == (409, "id")


async def test_a_lease_has_everything_that_a_worker_needs(gateway: Gateway) -> None:
    worker = await registered(gateway, max_concurrent_tasks=3, heartbeat_interval_seconds=20)
    reply = await gateway.call("POST", f"/api/workers/{worker}/lease", body={"max_runs": 2, "wait_seconds": 1.5})
    shapes.assert_shape(reply.json["data"], {"worker_id": str, "status": str, "runs": [LEASED]})
    (run,) = reply.json["data"]["runs"]
    assert (run["run_id"], run["lease_token"], run["parameters"]) == (RUN, TOKEN_TEXT, {"month": 1})
    assert (run["arguments"], run["timeout_seconds"]) == (["-m", "1"], 90)
    (asked,) = gateway.services.leases.requests
    assert (asked.worker_id, asked.slots, asked.max_runs, asked.wait_ms) == (worker, 3, 2, 1500)
    assert (list(asked.task_types), asked.worker_session[:8]) == (["reports", "shell"], "outside-")
    # A lease outlives as many heartbeats as a worker may miss.
    assert asked.lease_ms == 60_000


async def test_parameters_of_any_size_come_with_the_lease(gateway: Gateway) -> None:
    worker = await registered(gateway)
    gateway.services.leases.by_reference = True
    reply = await gateway.call("POST", f"/api/workers/{worker}/lease")
    assert reply.json["data"]["runs"][0]["parameters"] == {"big": True}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [({"max_runs": 0}, "max_runs"), ({"max_runs": 1000}, "max_runs"), ({"wait_seconds": 61}, "wait_seconds"),
     ({"wait_seconds": -1}, "wait_seconds"), ({"wait_seconds": "x"}, "wait_seconds")],
)  # fmt: skip
async def test_a_bad_lease_is_refused_by_the_fields_name(
    shared_gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    worker = await registered(shared_gateway)
    reply = await shared_gateway.call("POST", f"/api/workers/{worker}/lease", body=body)
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


@pytest.mark.parametrize("status", ["draining", "offline"])
async def test_a_worker_that_is_not_active_gets_nothing(gateway: Gateway, status: str) -> None:
    worker = await registered(gateway)
    gateway.services.registry.registered[worker].status = status
    reply = await gateway.call("POST", f"/api/workers/{worker}/lease", body={"wait_seconds": 0})
    assert (reply.status, reply.json["data"]["runs"], reply.json["data"]["status"]) == (200, [], status)
    assert not gateway.services.leases.requests


async def test_a_client_that_hangs_up_ends_the_wait_in_the_scheduler(gateway: Gateway) -> None:
    worker = await registered(gateway)
    gateway.services.leases.hold = True
    leases = gateway.services.leases
    waiting = asyncio.create_task(gateway.call("POST", f"/api/workers/{worker}/lease", body={"wait_seconds": 30}))
    async with asyncio.timeout(40):
        while not leases.requests:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await leases.cancelled.wait()
    await asyncio.gather(waiting, return_exceptions=True)


REPORTS: list[tuple[str, dict[str, Any]]] = [
    ("logs", {"logs": ["line"]}),
    ("progress", {"done": 1, "total": 2, "step": "s"}),
    ("results", {"items": [{"data": {"a": 1}}]}),
    ("complete", {"result": {"a": 1}}),
    ("fail", {"error_message": "no paper"}),
]


@pytest.mark.parametrize(("path", "body"), REPORTS, ids=[path for path, _ in REPORTS])
async def test_a_report_needs_the_leases_token(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    where = f"/api/runs/{RUN}/{path}"
    assert (await gateway.call("POST", where, body={"lease_token": TOKEN_TEXT, **body})).status == 200
    for token in ("4098", "", "x", "-1", "9" * 60, "²"):
        reply = await gateway.call("POST", where, body={"lease_token": token, **body})
        assert (reply.status, reply.json["error"]["code"]) == (409, "RESOURCE_CONFLICT"), token
    for bad in (None, 4097, ["4097"], {}):
        reply = await gateway.call("POST", where, body={"lease_token": bad, **body})
        assert (reply.status, reply.json["error"]["details"]["field"]) == (422, "lease_token")
    reply = await gateway.call("POST", f"/api/runs/{RUN + 1}/{path}", body={"lease_token": TOKEN_TEXT, **body})
    assert (reply.status, reply.json["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_a_line_that_is_too_long_is_cut_and_the_others_are_whole(gateway: Gateway) -> None:
    logs = ["first", "z" * 70_000, {"message": "a\0b", "level": "warn"}, "é" * 16_384]
    reply = await gateway.call("POST", f"/api/runs/{RUN}/logs", body={"lease_token": TOKEN_TEXT, "logs": logs})
    assert reply.status == 200
    (report,) = [r for r in gateway.services.leases.requests if isinstance(r, lease_pb2.LeaseReport)]
    first, cut, nul, whole = [line.message for line in report.logs]
    assert (first, nul, whole) == ("first", "a\ufffdb", "é" * 16_384)
    kept, note = cut.split(" ... ")
    assert note == f"[{70_000 - len(kept)} characters more]"
    assert len(cut) <= 16_384
    assert kept == "z" * len(kept)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("logs", {}, "logs"),
        ("logs", {"logs": []}, "logs"),
        ("logs", {"logs": [5]}, "logs[0]"),
        ("logs", {"logs": [{}]}, "logs[0].message"),
        ("logs", {"logs": [{"message": 5}]}, "logs[0].message"),
        ("logs", {"logs": [{"message": "m", "level": "loud"}]}, "logs[0].level"),
        ("logs", {"logs": [{"message": "m", "timestamp": "yesterday"}]}, "logs[0].timestamp"),
        ("logs", {"logs": [{"message": "m", "data": []}]}, "logs[0].data"),
        ("progress", {"done": "1"}, "done"),
        ("progress", {"done": -1}, "done"),
        ("progress", {"step": 7}, "step"),
        ("results", {}, "items"),
        ("results", {"items": {}}, "items"),
        ("results", {"items": [{}]}, "items[0].data"),
        ("results", {"items": [{"data": {}, "key": 5}]}, "items[0].key"),
        ("results", {"items": [{"data": {}, "metadata": 5}]}, "items[0].metadata"),
        ("results", {"items": [{"data": {}}], "position": -1}, "position"),
        ("fail", {}, "error_message"),
        ("fail", {"error_message": 5}, "error_message"),
        ("fail", {"error_message": "x", "retryable": "no"}, "retryable"),
        ("fail", {"aborted": 1}, "aborted"),
    ],
)
async def test_a_bad_report_is_refused_by_the_fields_name(
    shared_gateway: Gateway, path: str, body: dict[str, Any], field: str
) -> None:
    reply = await shared_gateway.call("POST", f"/api/runs/{RUN}/{path}", body={"lease_token": TOKEN_TEXT, **body})
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)
    assert not shared_gateway.services.leases.requests
    assert not shared_gateway.services.results.added


async def test_items_without_a_key_get_positions_and_the_attempts_number(gateway: Gateway) -> None:
    items = [{"data": {"n": 1}}, {"data": {"n": 2}, "key": "k", "data_type": "page", "metadata": {"m": 1}}]
    body = {"lease_token": TOKEN_TEXT, "items": items}
    reply = await gateway.call("POST", f"/api/runs/{RUN}/results", body=body)
    assert (reply.json["data"]["accepted"], reply.json["data"]["position"]) == (2, 40)
    await gateway.call("POST", f"/api/runs/{RUN}/results", body=body | {"position": 7})
    first, second = gateway.services.results.added
    assert [(item.position, item.key, item.data_type) for item in first.items] == [(40, "", "item"), (41, "k", "page")]
    assert (first.run_id, first.task_id, first.attempt, first.items[1].metadata_json) == (RUN, 7, 1, b'{"m":1}')
    assert [item.position for item in second.items] == [7, 8]


async def test_a_later_attempt_that_completes_drops_what_only_an_earlier_one_found(gateway: Gateway) -> None:
    await gateway.call("POST", f"/api/runs/{RUN}/complete", body={"lease_token": TOKEN_TEXT})
    assert not gateway.services.results.added
    gateway.services.leases.attempt = 2
    await gateway.call("POST", f"/api/runs/{RUN}/complete", body={"lease_token": TOKEN_TEXT})
    (request,) = gateway.services.results.added
    assert (request.last, request.attempt, len(request.items)) == (True, 2, 0)


async def test_ends_reach_the_scheduler_as_they_were_meant(gateway: Gateway) -> None:
    token = {"lease_token": TOKEN_TEXT}
    reply = await gateway.call("POST", f"/api/runs/{RUN}/complete", body=token | {"result": [1, {"a": None}]})
    assert reply.json["data"]["status"] == "completed"
    reply = await gateway.call("POST", f"/api/runs/{RUN}/fail", body=token | {"error_message": "x"})
    assert reply.json["data"]["status"] == "pending"
    await gateway.call("POST", f"/api/runs/{RUN}/fail", body=token | {"error_message": "x", "retryable": False})
    reply = await gateway.call("POST", f"/api/runs/{RUN}/fail", body=token | {"aborted": True})
    assert reply.json["data"]["status"] == "aborted"
    ends = [r for r in gateway.services.leases.requests if isinstance(r, lease_pb2.LeaseEnd)]
    end = lease_pb2.LeaseEnd
    assert [(e.outcome, e.retryable) for e in ends] == [
        (end.OUTCOME_COMPLETED, False), (end.OUTCOME_FAILED, True), (end.OUTCOME_FAILED, False),
        (end.OUTCOME_ABORTED, True)]  # fmt: skip
    assert ends[0].result_json == b'[1,{"a":null}]'


async def test_an_operators_key_is_enough_for_a_worker_and_a_viewers_is_not(gateway: Gateway) -> None:
    """People's changes of workers stay with administrators; a program may take itself off."""

    async def key(role: str) -> str:
        reply = await gateway.call("POST", "/api/auth/keys", body={"name": role, "role": role})
        return str(reply.json["data"]["key"])

    worker = await registered(gateway)
    table: list[tuple[str, str, Any]] = [
        ("POST", "/api/workers", NEW),
        ("POST", f"/api/workers/{worker}/heartbeat", {}),
        ("POST", f"/api/workers/{worker}/lease", {"wait_seconds": 0}),
        *[("POST", f"/api/runs/{RUN}/{path}", {"lease_token": TOKEN_TEXT, **body}) for path, body in REPORTS],
        ("DELETE", f"/api/workers/{worker}", None),
    ]
    viewer, operator = await key("viewer"), await key("operator")
    for method, path, body in table:
        assert (await gateway.call(method, path, body=body, key=viewer)).status == 403, path
        assert (await gateway.call(method, path, body=body, key=operator)).status in (200, 201), path
    worker = await registered(gateway)
    assert (await gateway.call("PUT", f"/api/workers/{worker}", body={}, key=operator)).status == 403
    assert (await gateway.call("DELETE", "/api/workers/worker-1", key=operator)).status == 403


@pytest.mark.asyncio(loop_scope="module")
async def test_the_openapi_document_describes_the_protocol(shared_gateway: Gateway) -> None:
    paths = (await shared_gateway.call("GET", "/openapi.json")).json["paths"]
    for path in ("/api/workers/{worker_id}/lease", "/api/workers/{worker_id}/heartbeat", "/api/workers",
                 *[f"/api/runs/{{run_id}}/{path}" for path, _ in REPORTS]):  # fmt: skip
        assert "post" in paths[path], path
        assert "requestBody" in paths[path]["post"], path
