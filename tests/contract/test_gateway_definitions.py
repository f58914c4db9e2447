"""What a task's definition must be before the task is kept, on both ports that take one."""

from typing import Any

import pytest
from gateway_support.stack import Gateway

SCRAPE = {"name": "lamps", "task_type": "scrape", "executor": "scrape", "command": ""}
WRONG = {"params": {"typo": 1}}
MEANT = "there is no such field; did you mean 'type'?"


def refusal(reply: Any) -> tuple[int, str, str]:
    details = reply.json["error"]["details"]
    return reply.status, details["field"], reply.json["error"]["message"]


async def test_a_definition_that_no_run_could_use_is_refused_with_its_path(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": WRONG})
    status, field, message = refusal(reply)
    assert (status, field) == (422, "metadata.params.typo")
    assert MEANT in message
    assert not gateway.services.scheduler.tasks


async def test_an_update_is_checked_like_a_new_task(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": {"params": {"render": "http"}}})
    path = f"/api/tasks/{reply.json['data']['id']}"
    assert refusal(await gateway.call("PUT", path, body={"metadata": WRONG}))[:2] == (422, "metadata.params.typo")
    assert (await gateway.call("PUT", path, body={"description": "kept"})).status == 200
    assert (await gateway.call("PUT", path, body={"metadata": WRONG, "executor": "shell"})).status == 200
    # What was a shell's own affair is a definition once the executor reads it as one.
    assert refusal(await gateway.call("PUT", path, body={"executor": "rpa"}))[:2] == (422, "metadata.params.typo")


@pytest.mark.parametrize("task", [{"executor": "noop"}, {"executor": "my-own"}, {"executor": "scrape", "metadata": {}}])
async def test_what_is_no_definition_of_ours_is_not_checked(gateway: Gateway, task: dict[str, Any]) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": WRONG} | task)
    assert reply.status == 201, reply.body
    assert gateway.services.definitions.asked == []


async def test_a_task_is_kept_unchecked_while_nobody_can_check_it(gateway: Gateway) -> None:
    gateway.services.definitions.away = True
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": WRONG})
    assert reply.status == 201, reply.body


async def test_the_management_port_refuses_in_its_own_words(gateway: Gateway) -> None:
    body = {"taskName": "lamps", "taskType": "scrape", "params": {"typo": 1}}
    reply = await gateway.call("POST", "/management/tasks", body=body)
    assert (reply.status, reply.json["field"]) == (400, "params.typo")
    assert MEANT in reply.json["message"]


@pytest.mark.parametrize(("executor", "meant"), [("scrap", "scrape"), ("shel", "shell"), ("SHELL", "shell")])
async def test_an_executor_that_is_nearly_one_is_refused_with_what_was_meant(
    gateway: Gateway, executor: str, meant: str
) -> None:
    body = SCRAPE | {"executor": executor, "command": "true"}
    status, field, message = refusal(await gateway.call("POST", "/api/tasks", body=body))
    assert (status, field) == (422, "executor")
    assert f"did you mean {meant!r}" in message
    managed = {"taskName": "lamps", "taskType": "x", "executor": executor}
    reply = await gateway.call("POST", "/management/tasks", body=managed)
    assert (reply.status, reply.json["field"]) == (400, "executor")


async def test_an_executor_that_nobody_offers_is_warned_of_and_one_that_somebody_offers_is_not(
    gateway: Gateway,
) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"executor": "my-own"})
    assert reply.status == 201
    assert [one["field"] for one in reply.json["metadata"]["warnings"]] == ["executor"]
    gateway.services.registry.worker.task_types.append("scrap")
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"name": "near", "executor": "scrap"})
    assert reply.status == 201
    assert "warnings" not in reply.json["metadata"]
