"""What strangers may send: nothing of it is a 5xx, and nothing of it gets through."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_support import shapes
from gateway_support.stack import ADMIN_KEY, PORTS, Gateway, Stores, running_gateway

MEGABYTE = 1024 * 1024
BAD_BODIES = {
    "not JSON": b"{",
    "empty": b"",
    "text": b"hello",
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "NaN": b'{"retry_count": NaN}',
    "infinity": b'{"retry_count": 1e999}',
    "deep": b'{"metadata": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
    "very deep": b"[" * 100_000 + b"]" * 100_000,
    "deep arrays": b'{"metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
    "two values": b"{}{}",
    "NUL": b"\x00",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("data", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_body_that_is_no_object_is_a_client_error_on_every_endpoint(
    shared_gateway: Gateway, data: bytes
) -> None:
    for method, path in (("POST", "/api/tasks"), ("PUT", "/api/tasks/1"), ("POST", "/api/tasks/1/trigger/batch"),
                         ("PUT", "/api/workers/worker-1"), ("POST", "/api/auth/keys")):  # fmt: skip
        reply = await shared_gateway.call(method, path, data=data)
        assert reply.status in (400, 422), (path, reply.status, reply.body)
        assert reply.json["error"]["code"] == "VALIDATION_ERROR"
    reply = await shared_gateway.call("POST", "/scrape", port="smartrpa", key=None, data=data)
    assert (reply.status, reply.json["status"]) == (400, "error")
    assert not shared_gateway.scheduler.runs


async def test_a_trigger_with_a_bad_body_starts_nothing(gateway: Gateway) -> None:
    for name, data in BAD_BODIES.items():
        if data:
            reply = await gateway.call("POST", "/api/tasks/1/trigger", data=data)
            assert reply.status in (400, 422), name
    assert not gateway.scheduler.starts


async def test_a_huge_integer_stays_json_and_never_a_server_error(gateway: Gateway) -> None:
    data = b'{"name": "n", "task_type": "t", "executor": "e", "command": "", "metadata": {"n": ' + b"9" * 400 + b"}}"
    assert (await gateway.call("POST", "/api/tasks", data=data)).status in (201, 400, 422)


async def raw(port: int, request: bytes, body: AsyncIterator[bytes] | None = None) -> tuple[bytes, int]:
    """The answer to bytes sent as they are, and how many bytes of the body were sent until it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    sent = 0
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    if body is not None:
        async for part in body:
            if answer.done():
                break
            writer.write(part)
            sent += len(part)
            await writer.drain()
    head = await asyncio.wait_for(answer, 40)
    writer.close()
    return head, sent


async def endless() -> AsyncIterator[bytes]:
    for _ in range(400):
        yield b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"


async def test_a_body_declared_over_the_limit_is_413_before_it_is_sent(gateway: Gateway) -> None:
    for port, path in (("scheduler", "/api/tasks"), ("smartrpa", "/scrape"), ("xget", "/x")):
        head, _ = await raw(
            gateway.ports[port],
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {ADMIN_KEY}\r\nContent-Length: {51 * MEGABYTE}\r\n\r\n".encode(),
        )
        assert head.startswith(b"HTTP/1.1 413"), head


async def test_an_undeclared_body_is_cut_off_at_the_limit(gateway: Gateway) -> None:
    for port, path in (("scheduler", "/api/tasks"), ("smartrpa", "/scrape")):
        head, sent = await raw(
            gateway.ports[port],
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {ADMIN_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
            endless(),
        )
        assert head.startswith(b"HTTP/1.1 413"), head
        assert sent < 70 * MEGABYTE


async def test_413_comes_in_the_contracts_shape(stores: Stores) -> None:
    async with running_gateway(stores, max_body_bytes=1024) as gateway:
        data = b"x" * 2000
        reply = await gateway.call("POST", "/api/tasks", data=data)
        assert (reply.status, reply.json["error"]["code"]) == (413, "VALIDATION_ERROR")
        shapes.assert_shape(reply.json, shapes.ERROR)
        reply = await gateway.call("POST", "/scrape", port="smartrpa", key=None, data=data)
        assert (reply.status, reply.json["status"]) == (413, "error")
        reply = await gateway.call("POST", "/rpa/scrape", data=data)
        assert (reply.status, reply.json["status"]) == (413, "error")


async def test_bodies_that_are_read_at_once_have_a_bound_together(stores: Stores) -> None:
    async with running_gateway(stores, max_bodies_bytes=MEGABYTE) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.ports["smartrpa"])
        head = (
            f"POST /scrape HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {MEGABYTE}"
        )
        writer.write(f"{head}\r\n\r\n".encode() + b" " * (MEGABYTE - 100_000))
        await writer.drain()

        async def status() -> int:
            data = b'{"taskId": "", "task_name": "x"}' + b" " * 200_000
            return (await gateway.call("POST", "/scrape", port="smartrpa", key=None, data=data)).status

        while (seen := await status()) != 429:
            assert seen == 400, "the first one has not been read yet"
        small = {"taskId": "", "task_name": "x"}
        assert (await gateway.call("POST", "/scrape", port="smartrpa", key=None, body=small)).status == 400
        writer.close()
        while (seen := await status()) != 400:
            assert seen == 429, "the first one is still counted"


async def test_a_large_body_below_the_limit_goes_through(gateway: Gateway) -> None:
    data = io.BytesIO(b'{"taskId": "big", "task_name": "x", "row": {"text": "' + b"x" * (40 * MEGABYTE) + b'"}}')
    assert (await gateway.call("POST", "/scrape", port="smartrpa", key=None, data=data)).status == 202


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[bad"},
        {"Host": "localhost@evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
async def test_an_open_port_refuses_foreign_hosts_and_origins(shared_gateway: Gateway, headers: dict[str, str]) -> None:
    for port in PORTS[1:]:
        reply = await shared_gateway.call("GET", "/task-status?id=x", port=port, key=None, headers=headers)
        assert reply.status == 403, (port, reply.body)
        assert reply.json


async def test_an_open_port_takes_local_hosts_and_origins(gateway: Gateway) -> None:
    port = gateway.ports["smartrpa"]
    for headers in ({"Host": f"localhost:{port}"}, {"Host": f"[::1]:{port}"}, {"Origin": f"http://127.0.0.1:{port}"}):
        assert (
            await gateway.call("GET", "/task-status?id=x", port="smartrpa", key=None, headers=headers)
        ).status == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_an_open_port_refuses_a_post_that_is_no_json(shared_gateway: Gateway, media: str) -> None:
    for port in PORTS[1:]:
        reply = await shared_gateway.call(
            "POST",
            "/scrape",
            port=port,
            key=None,
            data=b'{"taskId":"a","task_name":"b"}',
            headers={"Content-Type": media},
        )
        assert reply.status in (400, 415), (port, reply.status)
    assert not shared_gateway.scheduler.runs


async def test_a_listed_host_is_taken(stores: Stores) -> None:
    async with running_gateway(stores, allowed_hosts="trawl.internal, other") as gateway:
        headers = {"Host": "trawl.internal:8082"}
        assert (
            await gateway.call("GET", "/task-status?id=x", port="smartrpa", key=None, headers=headers)
        ).status == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
async def test_a_sane_request_id_comes_back(shared_gateway: Gateway, given: str) -> None:
    reply = await shared_gateway.call("GET", "/api/tasks", headers={"X-Request-ID": given})
    assert (reply.headers["X-Request-ID"], reply.json["metadata"]["request_id"]) == (given, given)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("given", ["a b", "<script>", "x" * 129, '"', "é"])
async def test_an_insane_request_id_is_replaced(shared_gateway: Gateway, given: str) -> None:
    for port in PORTS:
        reply = await shared_gateway.call("GET", "/healthz", port=port, headers={"X-Request-ID": given})
        assert reply.headers["X-Request-ID"] != given
        assert reply.headers["X-Request-ID"].startswith("req_")


async def test_the_contracts_that_are_announced_answer_in_their_shapes(gateway: Gateway) -> None:
    expected: dict[str, Any] = {
        "management": {"status": str, "message": str},
    }
    for port, shape in expected.items():
        reply = await gateway.call("GET", "/api/v1/tasks", port=port, key=None)
        assert reply.status == 404
        shapes.assert_shape(reply.json, shape)
        reply = await gateway.call("GET", f"/{port}/api/v1/tasks")
        assert reply.status == 404
        shapes.assert_shape(reply.json, shape)


async def test_every_port_documents_itself_and_says_that_it_is_alive(gateway: Gateway) -> None:
    for port in PORTS:
        for path in ("/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"):
            assert (await gateway.call("GET", path, port=port, key=None)).status == 200, (port, path)


async def test_the_document_has_an_example_for_every_endpoint(gateway: Gateway) -> None:
    document = (await gateway.call("GET", "/openapi.json", key=None)).json
    assert document["components"]["securitySchemes"]
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            assert described["summary"], (path, method)
            good = next(answer for status, answer in described["responses"].items() if status < "300")
            content = next(iter(good["content"].values()))
            assert content["example"] is not None, (path, method)
            named = {p["name"] for p in described["parameters"] if p["in"] == "path"}
            assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
    rpa = (await gateway.call("GET", "/openapi.json", port="smartrpa", key=None)).json
    assert {"/scrape", "/scrape_dengdai", "/task-status", "/cancel-task"} <= set(rpa["paths"])


async def test_a_trace_goes_on_to_the_scheduler(gateway: Gateway) -> None:
    await gateway.call("POST", "/api/tasks", body={"name": "n", "task_type": "t", "executor": "e", "command": ""})
    trace = "0af7651916cd43dd8448eb211c80319c"
    await gateway.call("POST", "/api/tasks/1/trigger", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert trace in gateway.scheduler.requests[-1].runs[0].traceparent


async def test_requests_are_counted_by_template_and_never_by_path(gateway: Gateway) -> None:
    for number in range(3):
        await gateway.call("GET", f"/api/tasks/{number + 1}")
        await gateway.call("GET", f"/nothing/{number}")
    text = (await gateway.call("GET", "/metrics", key=None)).body.decode()
    assert 'route="/api/tasks/{task_id}",status="404"} 3.0' in text
    assert 'route="unmatched",status="404"} 3.0' in text
    assert "/nothing" not in text


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/docs/", "/rpa", "/management", "/api/tasks/", "//evil.example/", "/"])
async def test_a_redirect_leads_to_a_path_and_never_to_a_host_of_the_request(
    shared_gateway: Gateway, path: str
) -> None:
    headers = {"Host": "evil.example", "Authorization": f"Bearer {ADMIN_KEY}"}
    request = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer, _ = await raw(shared_gateway.ports["scheduler"], f"GET {path} HTTP/1.1\r\n{request}\r\n".encode())
    assert answer.split()[1] in (b"307", b"404"), answer
    (location,) = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"location: ")] or [b""]
    assert not location.startswith((b"location: http", b"location: //", b"location: /\\")), answer


@pytest.mark.asyncio(loop_scope="module")
async def test_the_keyed_port_answers_foreign_hosts_with_a_key_alone(shared_gateway: Gateway) -> None:
    for path in ("/docs", "/openapi.json", "/healthz", "/metrics", "/rpa/openapi.json"):
        reply = await shared_gateway.call("GET", path, key=None, headers={"Host": "evil.example"})
        assert reply.status == 403, path
        assert (await shared_gateway.call("GET", path, key=None)).status == 200, path
    assert (await shared_gateway.call("GET", "/api/tasks", headers={"Host": "trawl.example"})).status == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_too_many_query_fields_are_the_clients_error_on_every_list(shared_gateway: Gateway) -> None:
    query = "&".join(f"a{number}=1" for number in range(101))
    places = [
        ("scheduler", "/api/tasks"), ("scheduler", "/api/runs"), ("smartrpa", "/tasks"), ("smartrpa", "/task-status"),
        ("management", "/workflows"), ("management", "/workflows/executions"), ("management", "/workers"),
        ("xget", "/api/v1/tasks"), ("xget", "/api/v1/accounts"), ("xget", "/api/v1/proxies"),
        ("pipeline", "/api/v1/tasks"),
    ]  # fmt: skip
    for port, path in places:
        for asked in (query, f"{query}&api_key=x"):
            key = ADMIN_KEY if port == "scheduler" and asked is query else None
            reply = await shared_gateway.call("GET", f"{path}?{asked}", port=port, key=key)
            assert reply.status in (400, 422), (port, path, reply.status)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body", [{}, {"url": 5}, {"url": "http://p:1", "enabled": "yes"}, {"url": "http://p:1", "password": ["x"]}, [], "x"]
)
async def test_a_proxy_that_is_none_is_422(shared_gateway: Gateway, body: Any) -> None:
    reply = await shared_gateway.call("POST", "/api/v1/proxies", port="xget", key=None, body=body)
    assert reply.status == 422, reply.body


async def test_without_an_exporter_a_request_costs_no_span(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.span", None)
    assert (await gateway.call("GET", "/api/runs")).status == 200
