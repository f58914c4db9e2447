"""What a task's definition must be before the task is kept, on both ports that take one."""

from typing import Any

import pytest
from chassis.errors import DeadlineExceeded, TrawlError, Unavailable
from gateway_support.stack import Gateway
from trawl.scheduler.v1 import tasks_pb2

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


@pytest.mark.parametrize("trouble", [Unavailable, DeadlineExceeded])
async def test_a_task_is_kept_unchecked_while_nobody_can_check_it(gateway: Gateway, trouble: type[TrawlError]) -> None:
    gateway.services.definitions.trouble = trouble("the readers are busy, or away")
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


async def test_what_a_trigger_adds_is_checked_like_the_definition(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": {"params": {"render": "http"}}})
    path = f"/api/tasks/{reply.json['data']['id']}/trigger"
    assert refusal(await gateway.call("POST", path, body={"parameters": {"typo": 1}}))[:2] == (422, "parameters.typo")
    batch = {"runs": [{"parameters": {"render": "http"}}, {"parameters": {"typo": 1}}]}
    assert refusal(await gateway.call("POST", f"{path}/batch", body=batch))[:2] == (422, "parameters.typo")
    reply = await gateway.call("POST", "/management/tasks/lamps/execute/api", body={"params": {"typo": 1}})
    assert (reply.status, reply.json["field"]) == (400, "params.typo")
    assert not gateway.services.scheduler.runs
    assert gateway.services.definitions.asked[-1] == ("scrape", {"render": "http", "typo": 1})
    assert (await gateway.call("POST", path, body={"parameters": {"render": "browser"}})).status == 200


async def test_triggers_of_tasks_without_a_definition_cost_no_check(gateway: Gateway) -> None:
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"executor": "shell", "command": "true"})
    path = f"/api/tasks/{reply.json['data']['id']}/trigger"
    for _ in range(3):
        assert (await gateway.call("POST", path, body={"parameters": {"typo": 1}})).status == 200
    assert gateway.services.definitions.asked == []
    asked = [request for request in gateway.scheduler.requests if isinstance(request, tasks_pb2.GetTaskRequest)]
    assert len(asked) == 1


async def test_a_stored_defect_is_not_blamed_on_a_trigger(gateway: Gateway) -> None:
    gateway.services.definitions.trouble = Unavailable("away")
    reply = await gateway.call("POST", "/api/tasks", body=SCRAPE | {"metadata": WRONG})
    gateway.services.definitions.trouble = None
    path = f"/api/tasks/{reply.json['data']['id']}/trigger"
    assert (await gateway.call("POST", path, body={"parameters": {"render": "http"}})).status == 200


async def test_problems_of_the_task_itself_are_named_so_and_doubts_are_told(gateway: Gateway) -> None:
    body = SCRAPE | {"executor": "http", "command": "nowhere"}
    assert refusal(await gateway.call("POST", "/api/tasks", body=body))[:2] == (422, "command")
    reply = await gateway.call("POST", "/api/tasks", body=body | {"executor": "python", "command": "later.py"})
    assert reply.status == 201
    assert [one["field"] for one in reply.json["metadata"]["warnings"]] == ["command"]
    path = f"/api/tasks/{reply.json['data']['id']}"
    change = {"executor": "http", "command": "nowhere"}
    assert refusal(await gateway.call("PUT", path, body=change))[:2] == (422, "command")


async def test_fields_that_nothing_reads_are_told_and_ignored(gateway: Gateway) -> None:
    body = SCRAPE | {"executor": "shell", "command": "true", "shcedule": "0 6 * * *"}
    reply = await gateway.call("POST", "/api/tasks", body=body)
    warning = {"field": "shcedule", "message": "unknown field, ignored; did you mean 'schedule'?"}
    assert (reply.status, reply.json["metadata"]["warnings"]) == (201, [warning])
    path = f"/api/tasks/{reply.json['data']['id']}"
    reply = await gateway.call("POST", f"{path}/trigger", body={"parametres": {}})
    assert [one["field"] for one in reply.json["metadata"]["warnings"]] == ["parametres"]
    shown = (await gateway.call("GET", path)).json["data"]
    assert "warnings" not in (await gateway.call("PUT", path, body=shown)).json["metadata"]


async def test_a_change_of_status_pauses_and_resumes(gateway: Gateway) -> None:
    body = SCRAPE | {"executor": "shell", "command": "true"}
    path = f"/api/tasks/{(await gateway.call('POST', '/api/tasks', body=body)).json['data']['id']}"
    assert (await gateway.call("PUT", path, body={"status": "paused"})).json["data"]["status"] == "paused"
    assert (await gateway.call("PUT", path, body={"status": "active"})).json["data"]["status"] == "active"
    assert refusal(await gateway.call("PUT", path, body={"status": "done"}))[:2] == (422, "status")


@pytest.mark.parametrize(
    ("params", "wrong"), [({"typo": 1}, True), ({"typo": "{{params.x}}"}, False), ({"x": 1}, False)]
)
async def test_a_step_with_a_definition_is_checked_unless_templates_fill_it_in(
    gateway: Gateway, params: dict[str, Any], wrong: bool
) -> None:
    body = {"name": "daily", "steps": [{"id": "lamps", "taskType": "scrape", "params": params}]}
    reply = await gateway.call("PUT", "/management/workflows/daily", body=body)
    refused = (reply.json.get("field"), reply.json.get("stepId"))
    assert (refused == ("steps[0].params.typo", "lamps")) == wrong


async def test_a_slip_in_a_webhook_or_key_is_told_and_in_a_watched_endpoint_refused(gateway: Gateway) -> None:
    webhook = {"url": "http://93.184.216.34/", "events": ["task.failed"], "descripton": "x"}
    while (reply := await gateway.call("POST", "/api/webhooks", body=webhook)).status == 503:
        assert "warnings" not in reply.json["metadata"]
    assert [one["field"] for one in reply.json["metadata"]["warnings"]] == ["descripton"], reply.body
    reply = await gateway.call("POST", "/api/auth/keys", body={"name": "k", "role": "viewer", "expires": 1})
    assert [one["field"] for one in reply.json["metadata"]["warnings"]] == ["expires"]
    watched = {"url": "http://127.0.0.1:9/", "intervallSeconds": 5}
    reply = await gateway.call("POST", "/endpoints", port="management", body=watched)
    assert (reply.status, reply.json["field"]) == (400, "intervallSeconds")
