"""Keys, tokens, roles, and idempotency keys, over real HTTP and real stores."""

import asyncio
import time
from typing import Any

import jwt
import pytest
import redis
from gateway_support import shapes
from gateway_support.stack import ADMIN_KEY, PORTS, Gateway, Stores, running_gateway

NEW = {"name": "prices", "task_type": "python", "executor": "python", "command": "prices.py"}


async def new_key(gateway: Gateway, role: str) -> tuple[str, str]:
    reply = await gateway.call("POST", "/api/auth/keys", body={"name": f"a {role}", "role": role})
    assert reply.status == 201, reply.body
    shapes.assert_shape(
        reply.json["data"], {"id": str, "name": str, "role": str, "key": str, "created_at": shapes.TIME}
    )
    return reply.json["data"]["id"], reply.json["data"]["key"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("key", [None, "wrong", "trawl_0123456789abcdef_x", "trawl_$where_x", "a.b.c", "é", "x" * 5000])
async def test_without_a_valid_key_it_is_401_in_the_envelope(shared_gateway: Gateway, key: str | None) -> None:
    for method, path in (("GET", "/api/tasks"), ("POST", "/api/tasks/1/trigger"), ("GET", "/api/system/stats")):
        reply = await shared_gateway.call(method, path, key=key)
        assert (reply.status, reply.json["error"]["code"]) == (401, "AUTHENTICATION_ERROR")
        shapes.assert_shape(reply.json, shapes.ERROR)


async def test_a_key_may_come_in_the_query(gateway: Gateway) -> None:
    assert (await gateway.call("GET", f"/api/tasks?api_key={ADMIN_KEY}", key=None)).status == 200
    assert (await gateway.call("GET", "/api/tasks?api_key=no", key=None)).status == 401


async def test_roles_may_what_they_should_and_no_more(gateway: Gateway) -> None:
    await gateway.call("POST", "/api/tasks", body=NEW)
    table: list[tuple[str, str, Any, str]] = [
        ("GET", "/api/tasks", None, "viewer"),
        ("GET", "/api/workers", None, "viewer"),
        ("POST", "/api/tasks/1/trigger", None, "operator"),
        ("POST", "/api/tasks/1/trigger/batch", {"count": 1}, "operator"),
        ("POST", "/api/tasks/1/pause", None, "operator"),
        ("PUT", "/api/tasks/1", {}, "operator"),
        ("POST", "/api/runs/100/abort", None, "operator"),
        ("PUT", "/api/workers/worker-1", {}, "admin"),
        ("DELETE", "/api/workers/worker-1", None, "admin"),
        ("GET", "/api/auth/keys", None, "admin"),
        ("POST", "/api/auth/keys", {"name": "x", "role": "admin"}, "admin"),
    ]
    ranks = ["viewer", "operator", "admin"]
    for role in ranks:
        _, key = await new_key(gateway, role)
        for method, path, body, needed in table:
            reply = await gateway.call(method, path, key=key, body=body)
            allowed = ranks.index(role) >= ranks.index(needed)
            assert (reply.status != 403) == allowed, (role, method, path, reply.body)
            if not allowed:
                assert reply.json["error"]["code"] == "AUTHORIZATION_ERROR"


async def test_a_key_is_shown_once_and_stored_nowhere_in_clear(gateway: Gateway) -> None:
    key_id, key = await new_key(gateway, "viewer")
    reply = await gateway.call("GET", "/api/auth/keys")
    assert key_id in [entry["id"] for entry in reply.json["data"]["items"]]
    assert key.encode() not in reply.body
    assert key.rsplit("_", 1)[1].encode() not in reply.body


async def test_a_deleted_key_works_no_more(gateway: Gateway) -> None:
    key_id, key = await new_key(gateway, "viewer")
    assert (await gateway.call("GET", "/api/tasks", key=key)).status == 200
    assert (await gateway.call("DELETE", f"/api/auth/keys/{key_id}")).status == 200
    assert (await gateway.call("GET", "/api/tasks", key=key)).status == 401
    assert (await gateway.call("DELETE", f"/api/auth/keys?id={key_id}")).status == 404


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": 1, "role": "admin"}, "name"),
    ],
)
async def test_a_bad_new_key_is_422(shared_gateway: Gateway, body: Any, field: str) -> None:
    reply = await shared_gateway.call("POST", "/api/auth/keys", body=body)
    assert (reply.status, reply.json["error"]["details"]["field"]) == (422, field)


async def test_a_key_buys_a_short_lived_token_with_its_role(gateway: Gateway) -> None:
    _, key = await new_key(gateway, "viewer")
    data = (await gateway.call("POST", "/api/auth/token", key=key)).json["data"]
    shapes.assert_shape(data, {"access_token": str, "token_type": str, "expires_in": int})
    token = data["access_token"]
    assert (await gateway.call("GET", "/api/tasks", key=token)).status == 200
    assert (await gateway.call("POST", "/api/tasks/1/trigger", key=token)).status == 403
    assert (await gateway.call("POST", "/api/auth/token", key=token)).status == 403
    in_body = await gateway.call("POST", "/api/auth/token", key=None, body={"api_key": key})
    assert in_body.json["data"]["access_token"]
    assert (await gateway.call("POST", "/api/auth/token", key=None)).status == 401


async def test_forged_and_expired_tokens_are_refused(stores: Stores) -> None:
    async with running_gateway(stores, jwt_secret="s" * 32) as gateway:
        good = (await gateway.call("POST", "/api/auth/token")).json["data"]["access_token"]
        assert (await gateway.call("GET", "/api/tasks", key=good)).status == 200
        claims = jwt.decode(good, options={"verify_signature": False})
        head, payload, signature = good.split(".")
        unsigned = jwt.encode(claims, "", algorithm="none")
        other = jwt.encode(claims, "another secret that is long enough", algorithm="HS256")
        flipped = f"{head}.{payload}.{signature[:-2]}{'A' if signature[-2] != 'A' else 'B'}{signature[-1]}"
        for forged in (unsigned, other, flipped):
            assert (await gateway.call("GET", "/api/tasks", key=forged)).status == 401


async def test_a_token_ends_with_the_key_that_it_was_made_with(stores: Stores) -> None:
    async with running_gateway(stores, key_cache_seconds=0) as gateway:
        made = (await gateway.call("POST", "/api/auth/keys", body={"name": "op", "role": "operator"})).json["data"]
        token = (await gateway.call("POST", "/api/auth/token", key=made["key"])).json["data"]["access_token"]
        assert (await gateway.call("GET", "/api/tasks", key=token)).status == 200
        assert (await gateway.call("DELETE", f"/api/auth/keys/{made['id']}")).status == 200
        assert (await gateway.call("GET", "/api/tasks", key=token)).status == 401
        assert (await gateway.call("POST", "/api/tasks", key=token, body=NEW)).status == 401


async def test_a_token_ends_when_it_says(stores: Stores) -> None:
    async with running_gateway(stores, jwt_ttl_seconds=10, key_cache_seconds=300) as gateway:
        claims = jwt.decode(
            (await gateway.call("POST", "/api/auth/token")).json["data"]["access_token"],
            options={"verify_signature": False},
        )
        assert claims["exp"] - time.time() <= 10


async def test_with_authentication_everywhere_each_port_asks_in_its_own_shape(stores: Stores) -> None:
    async with running_gateway(stores, auth_required="all") as gateway:
        for port, path in (("smartrpa", "/task-status?id=x"), ("smartrpa", "/heartbeat?id=x")):
            reply = await gateway.call("GET", path, port=port, key=None)
            assert (reply.status, reply.json["status"]) == (401, "error")
        assert (await gateway.call("GET", "/task-status?id=x", port="smartrpa")).status == 200
        for port in PORTS:
            assert (await gateway.call("GET", "/healthz", port=port, key=None)).status == 200


async def test_the_admin_key_needs_no_database_and_other_keys_say_that_it_is_down(stores: Stores) -> None:
    nowhere = "mongodb://127.0.0.1:1/?directConnection=true"
    async with running_gateway(stores, mongodb_uri=nowhere) as gateway:
        assert (await gateway.call("GET", "/api/tasks")).status == 200
        reply = await gateway.call("GET", "/api/tasks", key="trawl_0123456789abcdef_secret")
        assert (reply.status, reply.json["error"]["code"]) == (503, "DATABASE_ERROR")


async def test_an_idempotency_key_gives_the_first_answer_again(gateway: Gateway) -> None:
    await gateway.call("POST", "/api/tasks", body=NEW)
    keyed = {"Idempotency-Key": "k1"}
    first = await gateway.call("POST", "/api/tasks/1/trigger", body={"parameters": {}}, headers=keyed)
    again = await gateway.call("POST", "/api/tasks/1/trigger", body={"parameters": {}}, headers=keyed)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert len(gateway.scheduler.runs) == 1
    other = await gateway.call("POST", "/api/tasks/1/trigger", body={"parameters": {"a": 1}}, headers=keyed)
    assert (other.status, other.json["error"]["code"]) == (409, "RESOURCE_CONFLICT")
    elsewhere = await gateway.call("POST", "/api/runs/100/restart", headers=keyed)
    assert elsewhere.status == 200


async def test_a_key_outlives_the_loss_of_redis(gateway: Gateway, stores: Stores) -> None:
    keyed = {"Idempotency-Key": "k1"}
    first = [
        await gateway.call("POST", "/api/tasks", body=NEW, headers=keyed),
        await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed),
    ]
    await gateway.scheduler.end(100, 3)
    with redis.Redis.from_url(stores.redis_url) as client:
        client.flushall()
    again = [
        await gateway.call("POST", "/api/tasks", body=NEW, headers=keyed),
        await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed),
    ]
    assert [(reply.status, reply.body) for reply in again] == [(reply.status, reply.body) for reply in first]
    assert len(gateway.scheduler.runs) == 1
    other = await gateway.call("POST", "/api/tasks/1/trigger", body={"parameters": {"a": 1}}, headers=keyed)
    assert other.status == 409


async def test_many_at_once_with_one_idempotency_key_start_one_run(gateway: Gateway) -> None:
    await gateway.call("POST", "/api/tasks", body=NEW)
    keyed = {"Idempotency-Key": "k2"}
    replies = await asyncio.gather(*(gateway.call("POST", "/api/tasks/1/trigger", headers=keyed) for _ in range(20)))
    assert len(gateway.scheduler.runs) == 1
    assert {reply.status for reply in replies} <= {200, 409}
    for reply in replies:
        if reply.status == 409:
            assert reply.headers["Retry-After"]


async def test_an_error_is_not_kept_for_an_idempotency_key(gateway: Gateway) -> None:
    keyed = {"Idempotency-Key": "k3"}
    assert (await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed)).status == 404
    await gateway.call("POST", "/api/tasks", body=NEW)
    assert (await gateway.call("POST", "/api/tasks/1/trigger", headers=keyed)).status == 200


async def test_a_repeated_scrape_with_an_idempotency_key_starts_nothing_even_after_the_end(gateway: Gateway) -> None:
    body = {"taskId": "t1", "task_name": "x"}
    for _ in range(2):
        reply = await gateway.call(
            "POST", "/scrape", port="smartrpa", key=None, body=body, headers={"Idempotency-Key": "k4"}
        )
        assert reply.status == 202
        await gateway.scheduler.end(100, 3)
    assert len(gateway.scheduler.runs) == 1
