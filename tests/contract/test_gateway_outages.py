"""What the gateway does while a store or broker is away, and that it recovers by itself."""

import asyncio

import stores as servers
from gateway_support.stack import Gateway
from trawl.scheduler.v1 import runs_pb2

NEW = {"name": "prices", "task_type": "python", "executor": "python", "command": "prices.py"}


async def test_without_redis_only_requests_with_an_idempotency_key_wait(
    gateway: Gateway, redis_server: servers.Store
) -> None:
    await gateway.call("POST", "/api/tasks", body=NEW)
    redis_server.kill()
    assert (await gateway.call("POST", "/api/tasks/1/trigger")).status == 200
    keyed = {"Idempotency-Key": "k"}
    reply = await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed)
    assert (reply.status, reply.json["error"]["code"]) == (503, "MESSAGE_QUEUE_ERROR")
    assert reply.headers["Retry-After"]
    assert len(gateway.scheduler.runs) == 1
    redis_server.start()
    async with asyncio.timeout(40):
        while (await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed)).status != 200:
            await asyncio.sleep(0.1)
    assert len(gateway.scheduler.runs) == 2


async def test_who_waits_for_a_run_is_answered_though_nats_is_away(
    gateway: Gateway, nats_server: servers.Store
) -> None:
    body = {"taskId": "t1", "task_name": "x"}
    waiting = asyncio.create_task(gateway.call("POST", "/scrape_dengdai", port="smartrpa", key=None, body=body))
    async with asyncio.timeout(40):
        while not gateway.scheduler.runs:
            await asyncio.sleep(0.01)
    nats_server.kill()
    gateway.scheduler.publish = None
    await gateway.scheduler.end(100, runs_pb2.RUN_STATUS_COMPLETED)
    assert (await asyncio.wait_for(waiting, 40)).status == 200
    nats_server.start()
    async with asyncio.timeout(40):
        while True:
            data = (await gateway.call("GET", "/api/system/health")).json["data"]
            if data["components"]["message_queue"]["status"] == "healthy":
                break
            await asyncio.sleep(0.1)


async def test_a_service_that_restarts_is_a_pause_and_no_error(gateway: Gateway) -> None:
    await gateway.call("POST", "/api/tasks", body=NEW)
    await gateway.services.server.stop(0)
    waiting = asyncio.create_task(gateway.call("POST", "/api/tasks/1/trigger"))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    await gateway.services.restart()
    reply = await asyncio.wait_for(waiting, 40)
    assert reply.status == 200
