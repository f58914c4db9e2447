"""Query parameters that nothing reads, and names with slashes in paths, on every port."""

import pytest
from gateway_support.stack import Gateway, Reply


def warned(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [one["field"] for one in reply.json["metadata"].get("warnings", ())]


@pytest.mark.parametrize(
    ("path", "named", "hint"),
    [
        ("/api/runs?stauts=failed", ["stauts"], "did you mean 'status'?"),
        ("/api/runs?limit=5", ["limit"], "size"),
        ("/api/tasks?staus=paused&x=1", ["staus", "x"], "did you mean 'status'?"),
        ("/api/runs?_=17&utm_source=mail&size=1", [], ""),
    ],
)
async def test_lists_of_the_original_ignore_what_they_do_not_know_and_say_so(
    gateway: Gateway, path: str, named: list[str], hint: str
) -> None:
    reply = await gateway.call("GET", path)
    assert warned(reply) == named
    assert hint in reply.body.decode()


@pytest.mark.parametrize(
    ("path", "port", "field"),
    [
        ("/workflows/executions?state=failed", "management", "state"),
        ("/queues/dead-letters?page=2", "management", "page"),
        ("/api/webhooks?limit=5", "scheduler", "limit"),
        ("/api/v1/accounts?stauts=x", "xget", "stauts"),
    ],
)
async def test_lists_of_our_own_refuse_what_they_do_not_know(
    gateway: Gateway, path: str, port: str, field: str
) -> None:
    reply = await gateway.call("GET", path, port=port)
    assert reply.status == 400, reply.body
    assert f"{field} 是未知的查询参数" in reply.body.decode()


@pytest.mark.parametrize(
    ("path", "port", "status"),
    [("/api/runs", "scheduler", 422), ("/workflows", "management", 400), ("/api/v1/proxies", "xget", 422)],
)
async def test_more_query_fields_than_anybody_needs_are_refused(
    gateway: Gateway, path: str, port: str, status: int
) -> None:
    query = "&".join(f"x{number}=1" for number in range(101))
    reply = await gateway.call("GET", f"{path}?{query}", port=port)
    assert (reply.status, "query" in reply.body.decode()) == (status, True)


@pytest.mark.parametrize("port", ["management", "scheduler"])
async def test_a_task_whose_name_has_slashes_is_executed_by_it(gateway: Gateway, port: str) -> None:
    path = "/tasks/ovens%2Fnorth%2050%25/execute/api"
    await gateway.call("POST", path if port == "management" else f"/management{path}", port=port, body={})
    assert gateway.scheduler.requests[-1].runs[0].task_name == "ovens/north 50%"


async def test_a_slash_that_is_not_encoded_parts_the_path(gateway: Gateway) -> None:
    assert (await gateway.call("POST", "/tasks/ovens/north/execute/api", port="management", body={})).status == 404
    reply = await gateway.call("GET", "/nowhere%2F%00", port="management")
    assert reply.status == 404


async def test_lists_of_ids_as_many_fields_of_one_name_are_taken(gateway: Gateway) -> None:
    query = "&".join(["executionIds=0b0e5a52-2fbf-4f3e-9d55-000000000001"] * 150)
    reply = await gateway.call("DELETE", f"/tasks/executions/cancel/by-ids?{query}", port="management")
    assert reply.status == 200, reply.body
