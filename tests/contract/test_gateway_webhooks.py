"""Webhooks: what is sent, signed, repeated, logged and refused, over real HTTP, NATS and stores."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import nats
import pytest
import stores as servers
from chassis.clock import now_ms
from gateway.webhooks.webhook import DOCUMENTED_TYPES
from gateway_support import shapes
from gateway_support.receiver import Receiver, running_receiver
from gateway_support.stack import Gateway, Stores, running_gateway
from trawl.scheduler.v1 import events_pb2, runs_pb2
from trawl.workerregistry.v1 import events_pb2 as worker_pb
from wire import subjects

LOOPBACK = "127.0.0.0/8"
WEBHOOK = {
    "id": str, "url": str, "events": [str], "description": str, "status": str, "disabled_reason": (str, None),
    "created_at": shapes.TIME, "updated_at": shapes.TIME,
}  # fmt: skip
ATTEMPT = {"timestamp": shapes.TIME, "status_code": (int, None), "error": (str, None), "duration_ms": int}
DELIVERY = {
    "id": str, "message_id": str, "event": str, "status": str, "attempts": [ATTEMPT], "created_at": shapes.TIME,
    "completed_at": (shapes.TIME, None), "next_attempt_at": (shapes.TIME, None),
    "payload": {"event": str, "timestamp": shapes.TIME, "data": dict},
}  # fmt: skip


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as running:
        yield running


@asynccontextmanager
async def hooked(stores: Stores, **changes: Any) -> AsyncIterator[Gateway]:
    """A gateway that may send to this machine and tries again soon."""
    values = {"allowed_addresses": LOOPBACK, "webhook_retry_seconds": "0.1,0.1,0.1", **changes}
    async with running_gateway(stores, **values) as gateway:
        yield gateway


async def create(gateway: Gateway, url: str, events: list[str]) -> tuple[str, str]:
    """A new webhook's id and secret, as soon as the gateway can make one."""
    async with asyncio.timeout(40):
        while (reply := await gateway.call("POST", "/api/webhooks", body={"url": url, "events": events})).status == 503:
            await asyncio.sleep(0.05)
    assert reply.status == 201, reply.body
    shapes.assert_shape(reply.json["data"], WEBHOOK | {"secret": str})
    return reply.json["data"]["id"], reply.json["data"]["secret"]


async def publish(stores: Stores, subject: str, *messages: Any) -> None:
    connection = await nats.connect(stores.nats_url)
    for message in messages:
        await connection.jetstream().publish(subject, message.SerializeToString())
    await connection.close()


def run_event(kind: str, run_id: int = 7, task_id: int = 1, **more: Any) -> events_pb2.RunEvents:
    event = events_pb2.RunEvent(
        kind=kind, run_id=run_id, task_id=task_id, task_name="prices", time_ms=now_ms(),
        status=runs_pb2.RUN_STATUS_COMPLETED, **more,
    )  # fmt: skip
    return events_pb2.RunEvents(events=[event])


def task_event(kind: str) -> events_pb2.TaskEvent:
    return events_pb2.TaskEvent(kind=kind, task_id=1, task_name="prices", time_ms=now_ms())


async def deliveries(gateway: Gateway, webhook_id: str, query: str = "") -> list[Any]:
    reply = await gateway.call("GET", f"/api/webhooks/{webhook_id}/deliveries{query}")
    assert reply.status == 200, reply.body
    shapes.assert_shape(reply.json, shapes.answer_of(shapes.walked_of(DELIVERY)))
    items: list[Any] = reply.json["data"]["items"]
    return items


async def eventually(look: Callable[[], Awaitable[bool]], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.02)


async def test_all_documented_events_arrive_signed_and_in_the_documented_form(
    stores: Stores, receiver: Receiver
) -> None:
    async with hooked(stores, health_event_seconds=0.5, heartbeat_event_seconds=0.5) as gateway:
        _, secret = await create(gateway, receiver.url, ["*"])
        gateway.services.registry.worker.last_heartbeat_ms = now_ms() + 60_000
        kinds = ("created", "updated", "deleted")
        await publish(stores, subjects.TASK_EVENTS, *(task_event(kind) for kind in kinds))
        await publish(stores, subjects.RUN_EVENTS, *(run_event(kind) for kind in ("triggered", "completed", "failed")))
        workers = [
            worker_pb.WorkerEvent(kind=kind, worker_id="w1", time_ms=now_ms())
            for kind in ("registered", "unregistered")
        ]
        await publish(stores, subjects.WORKER_EVENTS, *workers)
        await receiver.until(lambda heard: {message.event for message in heard} >= set(DOCUMENTED_TYPES))
        for message in receiver.heard:
            message.verify(secret)
            shapes.assert_shape(message.body, {"event": str, "timestamp": shapes.TIME, "data": dict})
        created = next(message for message in receiver.heard if message.event == "task.created")
        assert created.body["data"] == {"task_id": 1, "task_name": "prices"}
        assert created.headers["content-type"] == "application/json"
        completed = next(message for message in receiver.heard if message.event == "task.completed")
        assert (completed.body["data"]["run_id"], completed.body["data"]["status"]) == (7, "completed")
        beat = next(message for message in receiver.heard if message.event == "worker.heartbeat")
        assert beat.body["data"]["worker_id"] == "worker-1"
        health = next(message for message in receiver.heard if message.event == "system.health_check")
        assert health.body["data"]["components"]["database"]["status"] == "healthy"


async def test_only_subscribed_events_are_sent(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("completed", 1), run_event("failed", 2))
        await receiver.until(lambda heard: len(heard) == 1)
        assert receiver.heard[0].event == "task.failed"
        assert [item["event"] for item in await deliveries(gateway, webhook_id)] == ["task.failed"]


async def test_a_failed_attempt_is_repeated_under_the_same_id_and_logged(stores: Stores, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 204]
    async with hooked(stores) as gateway:
        webhook_id, secret = await create(gateway, receiver.url, ["task.failed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("failed"))
        await receiver.until(lambda heard: len(heard) == 3)
        assert len({message.message_id for message in receiver.heard}) == 1
        assert len({message.raw for message in receiver.heard}) == 1
        for message in receiver.heard:
            message.verify(secret)

        async def delivered() -> bool:
            return (await deliveries(gateway, webhook_id))[0]["status"] == "delivered"

        await eventually(delivered)
        entry = (await deliveries(gateway, webhook_id, "?status=delivered"))[0]
        assert [attempt["status_code"] for attempt in entry["attempts"]] == [500, 302, 204]
        assert entry["message_id"] == receiver.heard[0].message_id
        assert await deliveries(gateway, webhook_id, "?status=pending") == []


@pytest.mark.parametrize("asked", ["3600", formatdate(time.time() + 80_000, usegmt=True)], ids=["seconds", "date"])
async def test_retry_after_is_heeded(stores: Stores, receiver: Receiver, asked: str) -> None:
    receiver.answers = [(503, {"Retry-After": asked}), 204]
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("failed"))

        async def tried() -> bool:
            found = await deliveries(gateway, webhook_id)
            return bool(found and found[0]["attempts"])

        await eventually(tried)
        entry = (await deliveries(gateway, webhook_id))[0]
        assert entry["status"] == "pending"
        next_attempt, created = (datetime.fromisoformat(entry[name]) for name in ("next_attempt_at", "created_at"))
        assert next_attempt - created > timedelta(minutes=50)
        assert len(receiver.heard) == 1


async def test_a_happening_announced_twice_is_sent_once(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        await publish(
            stores, subjects.RUN_EVENTS, run_event("failed", 1), run_event("failed", 1), run_event("failed", 2)
        )
        await receiver.until(lambda heard: len({m.body["data"]["run_id"] for m in heard}) == 2)
        assert len(await deliveries(gateway, webhook_id)) == 2
        assert len(receiver.heard) == 2


async def test_410_disables_at_once_and_enabling_goes_on(stores: Stores, receiver: Receiver) -> None:
    receiver.answers = [410, 204]
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("failed", 1))

        async def disabled() -> bool:
            data = (await gateway.call("GET", f"/api/webhooks/{webhook_id}")).json["data"]
            return (data["status"], data["disabled_reason"]) == ("disabled", "gone")

        await eventually(disabled)
        entry = (await deliveries(gateway, webhook_id))[0]
        replay = f"/api/webhooks/{webhook_id}/deliveries/{entry['id']}/replay"
        assert (await gateway.call("POST", replay)).status == 409
        reply = await gateway.call("PUT", f"/api/webhooks/{webhook_id}", body={"status": "active"})
        assert reply.json["data"]["status"] == "active"
        assert "secret" not in reply.json["data"]
        assert (await gateway.call("POST", replay)).json["data"]["status"] == "pending"
        await receiver.until(lambda heard: len(heard) == 2)
        assert receiver.heard[0].message_id == receiver.heard[1].message_id
        await publish(stores, subjects.RUN_EVENTS, run_event("failed", 2))
        await receiver.until(lambda heard: len(heard) == 3)


async def test_a_target_that_takes_nothing_for_all_attempts_is_disabled(stores: Stores, receiver: Receiver) -> None:
    receiver.answers = [500]
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("failed"))

        async def disabled() -> bool:
            return bool((await gateway.call("GET", f"/api/webhooks/{webhook_id}")).json["data"]["status"] == "disabled")

        await eventually(disabled)
        data = (await gateway.call("GET", f"/api/webhooks/{webhook_id}")).json["data"]
        assert data["disabled_reason"] == "failing"
        entry = (await deliveries(gateway, webhook_id, "?status=failed"))[0]
        assert len(entry["attempts"]) == 4


async def test_a_dead_target_does_not_hold_up_another(stores: Stores, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with hooked(stores, webhook_timeout_seconds=60) as gateway:
            await create(gateway, f"http://127.0.0.1:{silent.getsockname()[1]}/", ["task.failed"])
            await create(gateway, receiver.url, ["task.failed"])
            await publish(stores, subjects.RUN_EVENTS, *(run_event("failed", number) for number in range(40)))
            # Less than the other target's time limit.
            await receiver.until(lambda heard: len(heard) == 40, 45)


async def test_the_test_sends_once_now_and_shows_what_came_of_it(stores: Stores, receiver: Receiver) -> None:
    receiver.answers = [500, 204]
    async with hooked(stores) as gateway:
        webhook_id, secret = await create(gateway, receiver.url, ["task.failed", "task.created"])
        path = f"/api/webhooks/{webhook_id}/test"
        reply = await gateway.call("POST", path)
        shapes.assert_shape(reply.json, shapes.answer_of(DELIVERY))
        assert (reply.json["data"]["status"], reply.json["data"]["event"]) == ("failed", "task.failed")
        reply = await gateway.call("POST", path, body={"event": "task.created"})
        assert (reply.json["data"]["status"], reply.json["data"]["event"]) == ("delivered", "task.created")
        assert [message.event for message in receiver.heard] == ["task.failed", "task.created"]
        receiver.heard[1].verify(secret)
        assert (await gateway.call("GET", f"/api/webhooks/{webhook_id}")).json["data"]["status"] == "active"
        assert (await gateway.call("POST", path, body={"event": "no.such"})).status == 422


async def test_a_new_secret_and_the_old_one_both_sign_for_a_while(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        webhook_id, old = await create(gateway, receiver.url, ["task.failed"])
        reply = await gateway.call("PUT", f"/api/webhooks/{webhook_id}", body={"rotate_secret": True})
        new = reply.json["data"]["secret"]
        assert new != old
        await gateway.call("POST", f"/api/webhooks/{webhook_id}/test")
        receiver.heard[0].verify(old)
        receiver.heard[0].verify(new)


async def test_secrets_are_shown_once(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        webhook_id, secret = await create(gateway, receiver.url, ["task.failed"])
        for path in ("/api/webhooks", f"/api/webhooks/{webhook_id}", f"/api/webhooks/{webhook_id}/deliveries"):
            assert secret.encode() not in (await gateway.call("GET", path)).body


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost/x", "http://[::1]/", "http://169.254.169.254/latest", "http://10.1.2.3/",
     "http://0x7f.1/", "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://0/", "ftp://example.org/",
     "file:///etc/passwd", "http://", "x", "", "https://user:pass@192.0.2.1/", "http://a" + "a" * 3000],
)  # fmt: skip
async def test_targets_that_are_not_public_are_refused(shared_gateway: Gateway, url: str) -> None:
    reply = await shared_gateway.call("POST", "/api/webhooks", body={"url": url, "events": ["task.failed"]})
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, "url")


async def test_the_address_is_judged_when_it_is_connected_to(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
    # The setting no longer allows what was allowed when the webhook was made.
    async with running_gateway(stores) as gateway:
        reply = await gateway.call("POST", f"/api/webhooks/{webhook_id}/test")
        assert reply.json["data"]["status"] == "failed"
        assert "127.0.0.1" in reply.json["data"]["attempts"][0]["error"]
    assert receiver.heard == []


async def test_redirects_are_not_followed(stores: Stores, receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url + "/elsewhere"})]
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
        data = (await gateway.call("POST", f"/api/webhooks/{webhook_id}/test")).json["data"]
        assert (data["status"], data["attempts"][0]["status_code"]) == ("failed", 307)
        assert len(receiver.heard) == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"events": ["task.failed"]}, "url"),
        ({"url": "https://192.0.2.1/"}, "events"),
        ({"url": "https://1.1.1.1/", "events": []}, "events"),
        ({"url": "https://1.1.1.1/", "events": ["task.failed", "no"]}, "events[1]"),
        ({"url": "https://1.1.1.1/", "events": "task.failed"}, "events"),
        ({"url": 1, "events": ["task.failed"]}, "url"),
    ],
)
async def test_a_bad_webhook_is_422_with_the_field(shared_gateway: Gateway, body: Any, field: str) -> None:
    reply = await shared_gateway.call("POST", "/api/webhooks", body=body)
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ["x", "0123456789abcdef", "$where", "a" * 300, "%00"])
async def test_an_unknown_webhook_is_404(shared_gateway: Gateway, name: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        reply = await shared_gateway.call(
            method, f"/api/webhooks/{name}{path}", body={} if method in ("PUT", "POST") else None
        )
        assert reply.status == 404, (method, path, reply.body)
    assert (await shared_gateway.call("POST", f"/api/webhooks/{name}/deliveries/x/replay")).status == 404


async def test_only_administrators_see_webhooks(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/auth/keys", body={"name": "o", "role": "operator"})
    key = reply.json["data"]["key"]
    assert (await gateway.call("GET", "/api/webhooks", key=key)).status == 403
    assert (await gateway.call("POST", "/api/webhooks", key=key, body={})).status == 403


async def test_a_deleted_webhook_is_sent_nothing_more(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as gateway:
        gone, _ = await create(gateway, receiver.url, ["task.failed"])
        assert (await gateway.call("DELETE", f"/api/webhooks/{gone}")).status == 200
        kept, _ = await create(gateway, receiver.url, ["task.completed"])
        await publish(stores, subjects.RUN_EVENTS, run_event("failed", 1), run_event("completed", 2))
        await receiver.until(lambda heard: len(heard) == 1)
        assert receiver.heard[0].event == "task.completed"
        assert len(await deliveries(gateway, kept)) == 1
        assert (await gateway.call("GET", f"/api/webhooks/{gone}/deliveries")).status == 404


async def test_two_replicas_send_each_delivery_once(stores: Stores, receiver: Receiver) -> None:
    async with hooked(stores) as first, hooked(stores):
        await create(first, receiver.url, ["task.completed"])
        await publish(stores, subjects.RUN_EVENTS, *(run_event("completed", number) for number in range(60)))
        await receiver.until(lambda heard: len({m.message_id for m in heard}) == 60, 60)
        assert len(receiver.heard) == 60


async def test_kill_9_between_event_and_delivery_loses_nothing(
    stores: Stores, receiver: Receiver, tmp_path: Path
) -> None:
    """Events and deliveries outlive the process: what was published before and while it was dead arrives."""
    receiver.answers = [500, 500, 500, 204]
    port = servers.free_port()
    environment = {
        **{name.upper(): value for name, value in asdict(stores).items()},
        **dict.fromkeys(("PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE"), "0"),
        "PORT_SCHEDULER": str(port), "ALLOWED_ADDRESSES": LOOPBACK, "WEBHOOK_RETRY_SECONDS": "2,2,2,2,2,2",
        "WEBHOOK_TIMEOUT_SECONDS": "20",
    }  # fmt: skip
    async with hooked(stores) as gateway:
        webhook_id, _ = await create(gateway, receiver.url, ["task.failed"])
    program = servers.service("gateway", tmp_path, environment, port)
    try:
        await asyncio.to_thread(program.start)
        await publish(stores, subjects.RUN_EVENTS, *(run_event("failed", number) for number in range(1, 4)))
        # Refused three times: the deliveries are stored, none is delivered.
        await receiver.until(lambda heard: len(heard) == 3)
        await asyncio.to_thread(program.kill)
        await publish(stores, subjects.RUN_EVENTS, *(run_event("failed", number) for number in range(4, 8)))
        assert {message.body["data"]["run_id"] for message in receiver.heard} == {1, 2, 3}
        await asyncio.to_thread(program.start)
        await receiver.until(lambda heard: {m.body["data"]["run_id"] for m in heard[3:]} == set(range(1, 8)), 40)
        before = {message.body["data"]["run_id"]: message.message_id for message in receiver.heard[:3]}
        again = {message.body["data"]["run_id"]: message.message_id for message in receiver.heard[3:]}
        assert before.items() <= again.items()
    finally:
        await asyncio.to_thread(program.kill)
    async with hooked(stores) as gateway:

        async def delivered() -> bool:
            found = await deliveries(gateway, webhook_id, "?status=delivered")
            return {entry["payload"]["data"]["run_id"] for entry in found} == set(range(1, 8))

        await eventually(delivered)
