"""What the scheduler contract says of workers, health and figures, and how it answers when something is wrong."""

import asyncio
from typing import Any

import pytest
from chassis.errors import Unavailable
from gateway_support import shapes
from gateway_support.stack import Gateway
from prometheus_client.parser import text_string_to_metric_families
from trawl.scheduler.v1 import runs_pb2

NEW = {"name": "prices", "task_type": "python", "executor": "python", "command": "prices.py"}


async def test_workers_show_every_documented_field(gateway: Gateway) -> None:
    task_id = (await gateway.call("POST", "/api/tasks", body=NEW)).json["data"]["id"]
    run_id = (await gateway.call("POST", f"/api/tasks/{task_id}/trigger")).json["data"]["run_id"]
    await gateway.scheduler.end(run_id, runs_pb2.RUN_STATUS_COMPLETED)
    reply = await gateway.call("GET", "/api/workers?status=active&hostname=host-1")
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.page_of(shapes.WORKER_ITEM)))
    reply = await gateway.call("GET", "/api/workers/worker-1")
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.WORKER_DETAIL))
    statistics = reply.json["data"]["statistics"]
    assert (statistics["successful_tasks"], statistics["average_execution_time"], statistics["uptime"]) == (
        1,
        1.5,
        "1d 1h 0m",
    )
    assert (await gateway.call("GET", "/api/workers/nobody")).status == 404


async def test_a_worker_can_be_drained_and_taken_off(gateway: Gateway) -> None:
    reply = await gateway.call("PUT", "/api/workers/worker-1", body={"status": "draining"})
    shapes.assert_shape(reply.json["data"], shapes.WORKER | {"metadata": dict})
    assert reply.json["data"]["status"] == "draining"
    assert (await gateway.call("PUT", "/api/workers/worker-1", body={"status": "gone"})).status == 422
    data = (await gateway.call("DELETE", "/api/workers/worker-1")).json["data"]
    assert data == {"message": "Worker 注销成功", "worker_id": "worker-1"}


async def health_once(gateway: Gateway, status: str) -> Any:
    async with asyncio.timeout(40):
        while True:
            data = (await gateway.call("GET", "/api/system/health")).json["data"]
            if data["status"] == status:
                return data
            await asyncio.sleep(0.1)


async def test_health_checks_what_is_really_there(gateway: Gateway) -> None:
    shapes.assert_shape(await health_once(gateway, "healthy"), shapes.HEALTH)
    await gateway.services.server.set_serving(False)
    ill = await health_once(gateway, "unhealthy")
    assert ill["components"]["scheduler"]["status"] == "unhealthy"
    assert ill["components"]["database"]["status"] == "healthy"
    reply = await gateway.call("GET", "/readyz")
    assert (reply.status, reply.json["status"]) == (503, "not_ready")
    assert (await gateway.call("GET", "/healthz")).status == 200


async def test_statistics_show_every_documented_number(gateway: Gateway) -> None:
    data = (await gateway.call("GET", "/api/system/stats")).json["data"]
    shapes.assert_shape(data, shapes.STATS)
    assert data["task_runs"] == {
        "total": 12, "pending": 2, "running": 0, "completed": 9, "failed": 1, "aborted": 0
    }  # fmt: skip
    assert data["performance"]["average_execution_time"] == 5.0
    assert data["performance"]["success_rate"] == 90.0
    assert data["workers"] == {"total": 1, "active": 1, "offline": 0, "draining": 0, "average_load": 0.5}


async def test_metrics_are_prometheus_text_with_the_documented_names(gateway: Gateway) -> None:
    for path, key in (("/api/system/metrics", "test-admin-key-0123456789"), ("/metrics", None)):
        reply = await gateway.call("GET", path, key=key)
        families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
        assert reply.headers["Content-Type"].startswith("text/plain")
        assert families["scheduler_tasks_total"].samples[0].value == 4
        assert families["scheduler_tasks_active"].samples[0].value == 3
        assert families["scheduler_workers_total"].samples[0].value == 1
        histogram = families["scheduler_task_execution_duration_seconds"]
        buckets = [(s.labels["le"], s.value) for s in histogram.samples if s.name.endswith("_bucket")]
        assert buckets == [("1.0", 4), ("10.0", 9), ("+Inf", 10)]
        assert "trawl_gateway_requests" in families


@pytest.mark.parametrize(
    ("dependency", "code"),
    [
        ("mongodb", "DATABASE_ERROR"),
        ("redis", "MESSAGE_QUEUE_ERROR"),
        ("nats", "MESSAGE_QUEUE_ERROR"),
        ("x", "SYSTEM_ERROR"),
    ],
)
async def test_a_dependency_that_is_down_is_503_with_retry_after(gateway: Gateway, dependency: str, code: str) -> None:
    gateway.scheduler.failure = Unavailable("it is down", dependency=dependency)
    for method, path in (("GET", "/api/tasks"), ("POST", "/api/tasks/1/trigger")):
        reply = await gateway.call(method, path)
        assert (reply.status, reply.json["error"]["code"]) == (503, code)
        assert int(reply.headers["Retry-After"]) >= 1


async def test_a_defect_shows_nothing_of_the_inside(gateway: Gateway) -> None:
    gateway.scheduler.failure = RuntimeError("secret detail")  # type: ignore[assignment]
    reply = await gateway.call("GET", "/api/tasks")
    assert (reply.status, reply.json["error"]["code"]) == (500, "SYSTEM_ERROR")
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body


@pytest.mark.asyncio(loop_scope="module")
async def test_unknown_paths_and_methods_answer_in_the_envelope(shared_gateway: Gateway) -> None:
    for method, path, status in (("GET", "/api/nothing", 404), ("DELETE", "/api/tasks", 405), ("GET", "/nothing", 404)):
        reply = await shared_gateway.call(method, path)
        assert reply.status == status
        shapes.assert_shape(reply.json, shapes.ERROR)
