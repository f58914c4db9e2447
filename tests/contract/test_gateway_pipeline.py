"""The pipeline contract over real HTTP: every documented shape, status and message."""

from typing import Any

import orjson
import pytest
from chassis.errors import Unavailable
from gateway_support.stack import ADMIN_KEY, Gateway, Reply, Stores, running_gateway
from trawl.scheduler.v1 import runs_pb2

NEW = {"project_id": 7, "task_type": "search", "params": {"query": "machine learning", "limit": 20}}
CREATED_MS = 1_741_773_600_000  # 2025-03-12T10:00:00Z
LIST_KEYS = ["id", "project_id", "task_type", "status", "progress", "total", "created_at"]
DETAIL_KEYS = [
    "id", "project_id", "task_type", "status", "progress", "total", "params", "result", "error_message", "created_at",
    "started_at", "completed_at",
]  # fmt: skip


async def call(gateway: Gateway, method: str, path: str, body: Any = None, **more: Any) -> Reply:
    return await gateway.call(method, f"/api/v1{path}", port="pipeline", key=None, body=body, **more)


def add_run(gateway: Gateway, **fields: Any) -> runs_pb2.Run:
    """A run that is there already."""
    run_id = 100 + len(gateway.scheduler.runs)
    spec = runs_pb2.RunSpec(
        run_id=run_id, queue=fields.pop("queue", "pipeline_search"), scope=fields.pop("scope", "pipeline:1"),
        created_ms=CREATED_MS, parameters_json=orjson.dumps({"project_id": 1, "query": "x"}), contract="pipeline",
    )  # fmt: skip
    run = runs_pb2.Run(spec=spec, **{"status": runs_pb2.RUN_STATUS_RUNNING, **fields})
    gateway.scheduler.runs[run_id] = run
    return run


async def test_a_created_task_is_answered_in_full_and_started_as_its_type(gateway: Gateway) -> None:
    reply = await call(gateway, "POST", "/tasks", NEW)
    assert reply.status == 201
    assert (reply.json["code"], reply.json["message"]) == (201, "Task created")
    data = reply.json["data"]
    assert list(data) == DETAIL_KEYS
    assert (data["id"], data["project_id"], data["task_type"], data["status"]) == (100, 7, "search", "pending")
    assert (data["params"], data["result"], data["error_message"]) == (NEW["params"], None, "")
    start = gateway.scheduler.requests[-1].runs[0]
    assert (start.inline.task_type, start.inline.executor, start.contract) == ("search", "search", "pipeline")
    assert orjson.loads(start.parameters_json) == {"query": "machine learning", "limit": 20, "project_id": 7}


async def test_a_project_among_the_params_does_not_override_the_tasks(gateway: Gateway) -> None:
    await call(gateway, "POST", "/tasks", NEW | {"params": {"query": "x", "project_id": 8}})
    assert orjson.loads(gateway.scheduler.requests[-1].runs[0].parameters_json)["project_id"] == 7


async def test_the_list_is_as_documented_and_passes_its_filters_on(gateway: Gateway) -> None:
    add_run(gateway, progress_done=30, progress_total=100)
    add_run(gateway, scope="pipeline:2")
    reply = await call(gateway, "GET", "/tasks?project_id=1&status=running&limit=20")
    entry = {
        "id": 100, "project_id": 1, "task_type": "search", "status": "running", "progress": 30, "total": 100,
        "created_at": "2025-03-12T10:00:00",
    }  # fmt: skip
    assert reply.json == {"code": 200, "message": "success", "data": [entry]}
    assert list(reply.json["data"][0]) == LIST_KEYS
    request = gateway.scheduler.requests[-1]
    assert (request.scope, request.status, request.limit) == ("pipeline:1", runs_pb2.RUN_STATUS_RUNNING, 20)
    assert len((await call(gateway, "GET", "/tasks")).json["data"]) == 2
    request = gateway.scheduler.requests[-1]
    assert (request.scope, request.limit, request.ascending) == ("pipeline", 50, False)


async def test_a_completed_task_is_as_documented(gateway: Gateway) -> None:
    add_run(
        gateway, status=runs_pb2.RUN_STATUS_COMPLETED, progress_done=100, progress_total=100,
        result_json=b'{"papers_found": 15, "imported": 10}', started_ms=CREATED_MS + 1_000,
        completed_ms=CREATED_MS + 150_999,
    )  # fmt: skip
    reply = await call(gateway, "GET", "/tasks/100")
    assert reply.json == {
        "code": 200,
        "message": "success",
        "data": {
            "id": 100, "project_id": 1, "task_type": "search", "status": "completed", "progress": 100, "total": 100,
            "params": {"query": "x"}, "result": {"papers_found": 15, "imported": 10}, "error_message": "",
            "created_at": "2025-03-12T10:00:00", "started_at": "2025-03-12T10:00:01",
            "completed_at": "2025-03-12T10:02:30",
        },
    }  # fmt: skip


async def test_a_failed_task_says_why_and_an_aborted_one_is_cancelled(gateway: Gateway) -> None:
    add_run(gateway, status=runs_pb2.RUN_STATUS_FAILED, error_message="no source could be searched")
    add_run(gateway, status=runs_pb2.RUN_STATUS_ABORTED, error_message="aborted")
    failed = (await call(gateway, "GET", "/tasks/100")).json["data"]
    assert (failed["status"], failed["error_message"]) == ("failed", "no source could be searched")
    assert (failed["result"], failed["started_at"], failed["completed_at"]) == (None, None, None)
    cancelled = (await call(gateway, "GET", "/tasks/101")).json["data"]
    assert (cancelled["status"], cancelled["error_message"]) == ("cancelled", "")


async def test_a_run_of_another_kind_is_no_task_of_this_contract(gateway: Gateway) -> None:
    add_run(gateway, queue="noop", scope="")
    for method, path in (("GET", "/tasks/100"), ("POST", "/tasks/100/cancel"), ("GET", "/tasks/999")):
        reply = await call(gateway, method, path, {} if method == "POST" else None)
        assert (reply.status, reply.json) == (404, {"code": 404, "message": "任务不存在", "data": None})


async def test_cancelling_stops_a_task_once(gateway: Gateway) -> None:
    add_run(gateway)
    reply = await call(gateway, "POST", "/tasks/100/cancel", {})
    assert (reply.status, reply.json) == (200, {"code": 200, "message": "Task cancelled", "data": None})
    assert gateway.scheduler.runs[100].status == runs_pb2.RUN_STATUS_ABORTED
    reply = await call(gateway, "POST", "/tasks/100/cancel", {})
    assert (reply.status, reply.json["code"], reply.json["data"]) == (400, 400, None)
    assert reply.json["message"].startswith("无法取消任务")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "project_id"),
        (NEW | {"project_id": "1"}, "project_id"),
        (NEW | {"project_id": 0}, "project_id"),
        (NEW | {"task_type": "steal"}, "task_type"),
        (NEW | {"params": []}, "params"),
        (NEW | {"params": {}}, "params.query"),
        (NEW | {"params": {"query": "  "}}, "params.query"),
        (NEW | {"params": {"query": "x", "sources": ["google"]}}, "params.sources[0]"),
        (NEW | {"params": {"query": "x", "sources": []}}, "params.sources"),
        (NEW | {"params": {"query": "x", "limit": True}}, "params.limit"),
        (NEW | {"params": {"query": "x", "year_from": 2020, "year_to": 2019}}, "params.year_from"),
        ({"project_id": 1, "task_type": "dedup", "params": {"threshold": 2}}, "params.threshold"),
        ({"project_id": 1, "task_type": "crawl", "params": {"paper_ids": ["../x"]}}, "params.paper_ids[0]"),
        ({"project_id": 1, "task_type": "index", "params": {"rebuild": "yes"}}, "params.rebuild"),
        ({"project_id": 1, "task_type": "keyword_expand", "params": {"keywords": [""]}}, "params.keywords[0]"),
    ],
)
async def test_wrong_fields_are_422_and_named(shared_gateway: Gateway, body: Any, field: str) -> None:
    reply = await call(shared_gateway, "POST", "/tasks", body)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (422, 422, None)
    assert f" {field} " in reply.json["message"]
    assert shared_gateway.scheduler.starts == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "path", ["/tasks?limit=0", "/tasks?limit=1001", "/tasks?status=done", "/tasks?project_id=x", "/tasks/x",
             "/projects/0/papers", "/projects/1/search", "/projects/1/search?q=%20", "/projects/1/papers?offset=-1"],
)  # fmt: skip
async def test_wrong_queries_are_422_in_the_envelope(shared_gateway: Gateway, path: str) -> None:
    reply = await call(shared_gateway, "GET", path)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (422, 422, None)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff", b"[" * 5_000 + b"]" * 5_000])
async def test_bodies_that_can_not_be_read_are_422_in_the_envelope(shared_gateway: Gateway, data: bytes) -> None:
    reply = await call(shared_gateway, "POST", "/tasks", data=data)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (422, 422, None)


async def test_unknown_paths_and_methods_and_a_scheduler_that_is_down_keep_the_envelope(gateway: Gateway) -> None:
    assert (await call(gateway, "GET", "/nothing")).json["code"] == 404
    assert (await call(gateway, "DELETE", "/tasks")).json["code"] == 405
    gateway.scheduler.failure = Unavailable("Redis is unavailable", dependency="redis")
    reply = await call(gateway, "GET", "/tasks")
    assert (reply.status, reply.json["code"], reply.json["data"]) == (503, 503, None)
    assert int(reply.headers["Retry-After"]) >= 1


async def test_papers_and_hits_are_lists_with_nulls_for_what_is_unknown(gateway: Gateway) -> None:
    reply = await call(gateway, "GET", "/projects/3/papers?limit=5&offset=2")
    assert reply.headers["X-Total-Count"] == "7"
    (paper,) = reply.json["data"]
    assert (paper["project_id"], paper["title"], paper["authors"]) == (3, "A title", ["Ada"])
    assert (paper["doi"], paper["year"], paper["citations"], paper["pdf"]["status"]) == (None, None, None, None)
    assert (paper["created_at"], paper["updated_at"]) == ("2025-03-12T10:00:00", "2025-03-12T10:00:00")
    asked = gateway.services.papers.requests[-1]
    assert (asked.project_id, asked.limit, asked.offset) == (3, 5, 2)
    (hit,) = (await call(gateway, "GET", "/projects/3/search?q=a%20title")).json["data"]
    assert (hit["score"], hit["highlights"]) == (1.5, {"title": "A <em>title</em>"})
    assert gateway.services.papers.requests[-1].query == "a title"


async def test_the_same_contract_is_served_below_the_schedulers_port_with_a_key(gateway: Gateway) -> None:
    path = "/pipeline/api/v1/tasks"
    refused = await gateway.call("GET", path, key=None)
    assert (refused.status, refused.json["code"], refused.json["data"]) == (401, 401, None)
    assert (await gateway.call("GET", path, key=ADMIN_KEY)).json == {"code": 200, "message": "success", "data": []}


async def test_a_repeated_creation_with_a_key_starts_one_task(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await call(gateway, "POST", "/tasks", NEW, headers=headers)
    assert (await call(gateway, "POST", "/tasks", NEW, headers=headers)).json == first.json
    assert len(gateway.scheduler.runs) == 1


async def test_documentation_and_health_are_served(stores: Stores) -> None:
    async with running_gateway(stores) as gateway:
        document = (await gateway.call("GET", "/openapi.json", port="pipeline", key=None)).json
        assert {"/api/v1/tasks", "/api/v1/tasks/{id}/cancel", "/api/v1/projects/{id}/search"} <= set(document["paths"])
        assert (await gateway.call("GET", "/healthz", port="pipeline", key=None)).status == 200
