"""Server-sent events, the services' logs, limits, and tokens of an outside issuer, over real HTTP and stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import nats
import orjson
import pytest
from chassis.clock import now_ms
from chassis.errors import Exhausted
from gateway import event_stream, log_follower
from gateway_support import shapes
from gateway_support.stack import ADMIN_KEY, Gateway, Stores, running_gateway
from trawl.scheduler.v1 import events_pb2, runs_pb2
from wire import subjects


class Events:
    """The events of one stream, as they come."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.reply = reply

    async def next(self) -> dict[str, str]:
        """The next one; comments are left out."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(40):
            while line := await self.reply.content.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if line == b"\n" and fields:
                    return fields
                if name:
                    fields[name] = value
        raise EOFError


@asynccontextmanager
async def streaming(gateway: Gateway, path: str, **headers: str) -> AsyncIterator[Events]:
    base = f"http://127.0.0.1:{gateway.ports['scheduler']}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN_KEY}", **headers}) as session,
        session.get(base + path) as reply,
    ):
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        yield Events(reply)


async def until_ready(gateway: Gateway) -> None:
    """Until the gateway has declared the streams."""
    async with asyncio.timeout(40):
        while True:
            with contextlib.suppress(AssertionError):
                async with streaming(gateway, "/api/events"):
                    return
            await asyncio.sleep(0.05)


async def publish_tasks(stores: Stores, *task_ids: int) -> None:
    connection = await nats.connect(stores.nats_url)
    for task_id in task_ids:
        event = events_pb2.TaskEvent(kind="created", task_id=task_id, task_name=f"t{task_id}", time_ms=now_ms())
        await connection.jetstream().publish(subjects.TASK_EVENTS, event.SerializeToString())
    await connection.close()


async def test_events_are_streamed_filtered_and_resumed(gateway: Gateway, stores: Stores) -> None:
    await until_ready(gateway)
    async with streaming(gateway, "/api/events?types=task.created&task_id=2") as events:
        await publish_tasks(stores, 1, 2, 3)
        heard = await events.next()
        assert heard["event"] == "task.created"
        body = orjson.loads(heard["data"])
        shapes.assert_shape(body, {"event": str, "timestamp": shapes.TIME, "data": {"task_id": int}})
        assert body["data"]["task_id"] == 2
    async with streaming(gateway, "/api/events", **{"Last-Event-ID": heard["id"]}) as events:
        assert orjson.loads((await events.next())["data"])["data"]["task_id"] == 3
        await publish_tasks(stores, 4)
        assert orjson.loads((await events.next())["data"])["data"]["task_id"] == 4


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("query", ["types=nope", "task_id=x", "task_id=0", "types=$where"])
async def test_bad_filters_of_events_are_422(shared_gateway: Gateway, query: str) -> None:
    assert (await shared_gateway.call("GET", f"/api/events?{query}")).status == 422


@pytest.mark.parametrize("last", ["x", "1.2.3", "-1.0", "99999999999999999999999.0", "5.", "999999.0"])
async def test_a_last_id_that_is_not_ours_starts_now(gateway: Gateway, stores: Stores, last: str) -> None:
    await until_ready(gateway)
    await publish_tasks(stores, 1)
    async with streaming(gateway, "/api/events", **{"Last-Event-ID": last}) as events:
        await publish_tasks(stores, 2)
        assert orjson.loads((await events.next())["data"])["data"]["task_id"] == 2


async def test_streams_of_one_key_have_a_bound_that_leaves_room_for_others(stores: Stores) -> None:
    async with running_gateway(stores, max_streams_per_key=2) as gateway:
        await until_ready(gateway)
        made = (await gateway.call("POST", "/api/auth/keys", body={"name": "v", "role": "viewer"})).json["data"]
        mine = {"Authorization": f"Bearer {made['key']}"}
        async with streaming(gateway, "/api/events", **mine), streaming(gateway, "/api/events", **mine):
            refused = await gateway.call("GET", "/api/events", key=made["key"])
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) > 0
            async with streaming(gateway, "/api/events"):
                pass
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(AssertionError):
                    async with streaming(gateway, "/api/events", **mine):
                        break
                await asyncio.sleep(0.05)


async def test_a_stream_ends_with_the_key_that_opened_it(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "CHECK_SECONDS", 0.1)
    async with running_gateway(stores, key_cache_seconds=0) as gateway:
        await until_ready(gateway)
        made = (await gateway.call("POST", "/api/auth/keys", body={"name": "v", "role": "viewer"})).json["data"]
        async with streaming(gateway, "/api/events", Authorization=f"Bearer {made['key']}") as events:
            await gateway.call("DELETE", f"/api/auth/keys/{made['id']}")
            with pytest.raises(EOFError):
                await events.next()


async def test_streams_end_when_the_gateway_stops(stores: Stores) -> None:
    async with running_gateway(stores) as gateway:
        await until_ready(gateway)
        async with streaming(gateway, "/api/events") as events:
            gateway.stop()
            with pytest.raises(EOFError):
                await events.next()


async def a_run(gateway: Gateway) -> int:
    new = {"name": "prices", "task_type": "python", "executor": "python", "command": "prices.py"}
    task = (await gateway.call("POST", "/api/tasks", body=new)).json["data"]["id"]
    run_id: int = (await gateway.call("POST", f"/api/tasks/{task}/trigger")).json["data"]["run_id"]
    return run_id


def line(text: str) -> runs_pb2.LogLine:
    return runs_pb2.LogLine(time_ms=now_ms(), level="info", message=text)


async def test_a_followed_log_gives_what_is_there_what_comes_and_the_end(
    gateway: Gateway, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_follower, "LOOK_SECONDS", 600.0)
    await until_ready(gateway)
    run_id = await a_run(gateway)
    gateway.scheduler.logs[run_id] = [line("one"), line("two")]
    connection = await nats.connect(stores.nats_url)
    async with streaming(gateway, f"/api/runs/{run_id}/logs?follow=true") as events:
        for number, text in ((1, "one"), (2, "two")):
            heard = await events.next()
            assert (heard["event"], heard["id"], orjson.loads(heard["data"])["message"]) == ("log", str(number), text)
        gateway.scheduler.logs[run_id].append(line("three"))
        await connection.publish(subjects.LIVE_LOGS, b"1 %d 2" % run_id)
        # Well before it would have looked by itself.
        async with asyncio.timeout(60):
            assert orjson.loads((await events.next())["data"])["message"] == "three"
        gateway.scheduler.logs[run_id].append(line("four"))
        await gateway.scheduler.end(run_id, runs_pb2.RUN_STATUS_COMPLETED)
        assert orjson.loads((await events.next())["data"])["message"] == "four"
        heard = await events.next()
        assert (heard["event"], orjson.loads(heard["data"])["status"]) == ("end", "completed")
        with pytest.raises(EOFError):
            await events.next()
    async with streaming(gateway, f"/api/runs/{run_id}/logs?follow=true", **{"Last-Event-ID": "3"}) as events:
        assert orjson.loads((await events.next())["data"])["message"] == "four"
        assert (await events.next())["event"] == "end"
    await connection.close()


async def test_following_an_unknown_run_is_404_and_pages_still_work(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/api/runs/12345/logs?follow=true")).status == 404
    assert (await gateway.call("GET", "/api/runs/12345/logs?follow=maybe")).status == 422
    run_id = await a_run(gateway)
    assert (await gateway.call("GET", f"/api/runs/{run_id}/logs")).json["data"]["total"] == 0


def entry(second: int, level: str, service: str, message: str, **more: Any) -> bytes:
    fields = {"timestamp": f"2026-01-01T00:00:{second:02}.5Z", "level": level, "service": service, "event": message}
    return orjson.dumps(fields | more) + b"\n"


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "scheduler.log.1").write_bytes(entry(1, "info", "scheduler", "oldest"))
    (folder / "scheduler.log").write_bytes(
        entry(3, "info", "scheduler", "third", task_id=1)
        + b"not json\n{broken\n"
        + entry(5, "error", "scheduler", "fifth")
    )
    (folder / "gateway.log").write_bytes(
        entry(2, "debug", "gateway", "second") + entry(4, "warning", "gateway", "fourth")
    )
    (folder / "nats.log").write_bytes(b"[1] 2026 [INF] not ours\n")
    return folder


async def test_logs_of_all_services_are_read_newest_first(stores: Stores, log_dir: Path) -> None:
    async with running_gateway(stores, log_dir=log_dir) as gateway:

        async def messages(query: str = "") -> list[str]:
            reply = await gateway.call("GET", f"/api/system/logs?{query}")
            assert reply.status == 200, reply.body
            return [item["message"] for item in reply.json["data"]["items"]]

        reply = await gateway.call("GET", "/api/system/logs")
        item = {"timestamp": shapes.TIME, "level": str, "service": str, "message": str, "metadata": dict}
        shapes.assert_shape(reply.json, shapes.answer_of(shapes.page_of(item)))
        assert (reply.json["data"]["size"], reply.json["data"]["total"]) == (50, 5)
        assert await messages() == ["fifth", "fourth", "third", "second", "oldest"]
        assert await messages("size=2&page=2") == ["third", "second"]
        assert await messages("service=gateway") == ["fourth", "second"]
        assert await messages("service=../scheduler") == []
        assert await messages("level=warn") == ["fourth"]
        assert await messages("start_time=2026-01-01T00:00:03Z") == ["fifth", "fourth", "third"]
        assert await messages("end_time=2026-01-01T01:00:03%2B01:00") == ["second", "oldest"]
        assert await messages("start_time=2026-01-01T00:00:02Z&end_time=2026-01-01T00:00:04Z") == ["third", "second"]
        third = (await gateway.call("GET", "/api/system/logs?level=info&size=1")).json["data"]["items"][0]
        assert third["metadata"] == {"task_id": 1}


@pytest.mark.parametrize("query", ["level=loud", "start_time=yesterday", "end_time=2026-13-01", "size=0", "page=x"])
async def test_bad_filters_of_logs_are_422(stores: Stores, log_dir: Path, query: str) -> None:
    async with running_gateway(stores, log_dir=log_dir) as gateway:
        assert (await gateway.call("GET", f"/api/system/logs?{query}")).status == 422


async def test_without_a_folder_the_logs_are_503(gateway: Gateway) -> None:
    reply = await gateway.call("GET", "/api/system/logs")
    assert (reply.status, reply.json["error"]["code"]) == (503, "SYSTEM_ERROR")


async def test_past_a_keys_own_limit_it_is_429_with_retry_after(gateway: Gateway) -> None:
    body = {"name": "slow", "role": "viewer", "rate_limit": {"per_minute": 1, "burst": 5}}
    reply = await gateway.call("POST", "/api/auth/keys", body=body)
    assert reply.json["data"]["rate_limit"] == {"per_minute": 1, "burst": 5}
    key = reply.json["data"]["key"]
    replies = [await gateway.call("GET", "/api/tasks", key=key) for _ in range(12)]
    assert [reply.status for reply in replies[:5]] == [200] * 5
    refused = [reply for reply in replies if reply.status == 429]
    assert len(refused) >= 5
    shapes.assert_shape(refused[0].json, shapes.ERROR)
    assert int(refused[0].headers["Retry-After"]) >= 1
    # A token made from the key is the same caller.
    assert (await gateway.call("GET", "/api/tasks")).status == 200


async def test_everybodys_limit_is_shared_by_replicas_and_spares_the_admin_key(stores: Stores) -> None:
    changes = {"rate_limit_per_minute": 1, "rate_limit_burst": 10}
    async with running_gateway(stores, **changes) as first, running_gateway(stores, **changes) as second:
        key = (await first.call("POST", "/api/auth/keys", body={"name": "v", "role": "viewer"})).json["data"]["key"]
        replies = [await (first, second)[n % 2].call("GET", "/api/workers", key=key) for n in range(30)]
        answered = sum(reply.status == 200 for reply in replies)
        assert 10 <= answered <= 12
        assert all([(await first.call("GET", "/api/workers")).status == 200 for _ in range(20)])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "limit", [1, {"per_minute": -1}, {"burst": 5}, {"per_minute": "x"}, {"per_minute": 1, "burst": 0}]
)
async def test_a_bad_limit_is_422(shared_gateway: Gateway, limit: Any) -> None:
    body = {"name": "x", "role": "viewer", "rate_limit": limit}
    assert (await shared_gateway.call("POST", "/api/auth/keys", body=body)).status == 422


async def test_a_full_scheduler_is_429_with_its_own_retry_after(gateway: Gateway) -> None:
    gateway.scheduler.failure = Exhausted("too many requests are waiting", retry_after_seconds=7)
    reply = await gateway.call("GET", "/api/tasks")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    shapes.assert_shape(reply.json, shapes.ERROR)


async def test_a_client_that_reads_nothing_is_dropped(
    gateway: Gateway, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream ends and gives its place back, however much there is to say."""
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.3)
    await until_ready(gateway)
    run_id = await a_run(gateway)
    gateway.scheduler.logs[run_id] = [line("x" * 10_000) for _ in range(5_000)]
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.ports["scheduler"], limit=1)
    path = f"/api/runs/{run_id}/logs?follow=true&api_key={ADMIN_KEY}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    # A request is counted when it has ended.
    ended = b'route="/api/runs/{run_id}/logs",status="200"'
    async with asyncio.timeout(40):
        while ended not in (await gateway.call("GET", "/metrics", key=None)).body:
            await asyncio.sleep(0.1)
    listed = [request for request in gateway.scheduler.requests if isinstance(request, runs_pb2.ListLogsRequest)]
    assert listed
    assert max(request.offset for request in listed) < 4_500
    writer.transport.abort()
