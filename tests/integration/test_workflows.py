"""Workflows through real processes, over REST."""

import time
from collections.abc import Iterator

import pytest
import stores
from trawl.scheduler.v1 import runs_pb2
from workflow_kit import Management, running_management, runs_of, statuses, steps_of

EFFECT = "r=${{TRAWL_RUN#*:}}; touch {}/$PARAM_AT-${{r%%:*}}"
WAIT_FOR = "until [ -e {} ]; do sleep 0.05; done"


@pytest.fixture(scope="module")
def management(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Management]:
    """One system for the tests of this module."""
    with running_management(tmp_path_factory.mktemp("cell")) as running:
        cell = running.cell
        cell.create_task("noop", "noop")
        cell.create_task("effect", "shell", command=EFFECT.format(running.effects))
        cell.create_task("items", "shell", command='echo "{\\"items\\": $PARAM_ITEMS, \\"q\\": \\"$PARAM_Q\\"}"')
        cell.create_task("echo", "shell", command='echo "{\\"got\\": $PARAM_VALUE}"')
        yield running


def wait(management: Management, gate: str) -> dict[str, object]:
    """Fields of a step that runs until the gate is there."""
    return {"taskType": "shell", "params": {"command": WAIT_FOR.format(management.effects / gate)}}


def test_the_documents_example_lists_details_and_reports(management: Management) -> None:
    made = management.create(
        "daily-catalogue",
        {"id": "list", "task": "items",
         "params": {"q": "{{params.keyword}}", "items": '[{"n": 1}, {"n": 2}, {"n": 3}]'}},
        {"id": "detail", "task": "echo", "dependsOn": ["list"], "forEach": "{{steps.list.result.items}}",
         "params": {"value": "{{item.n}}"}, "maxParallel": 8},
        {"id": "report", "task": "noop", "dependsOn": ["detail"], "when": "{{steps.detail.completed > 0}}",
         "onFailure": "continue"},
        schedule="0 6 * * *", params={"keyword": "lamp"},
    )  # fmt: skip
    assert (made["version"], made["schedule"]) == (1, "0 6 * * *")
    ended = management.run("daily-catalogue", keyword="desk")
    assert statuses(ended) == {"list": "completed", "detail": "completed", "report": "completed"}
    steps = steps_of(ended)
    assert steps["list"]["result"] == {"items": [{"n": 1}, {"n": 2}, {"n": 3}], "q": "desk"}
    assert steps["detail"]["result"] == [{"got": 1}, {"got": 2}, {"got": 3}]
    assert (ended["status"], ended["version"], ended["params"]) == ("completed", 1, {"keyword": "desk"})
    for step, runs in (("list", 1), ("detail", 3), ("report", 1)):
        assert set(steps[step]) >= {"id", "status", "startedAt", "completedAt", "runIds", "result", "error"}
        assert len(set(steps[step]["runIds"])) == runs
        assert steps[step]["startedAt"] <= steps[step]["completedAt"]
    listed = management.call("GET", "/workflows/executions?workflow=daily-catalogue")[1]
    assert [one["executionId"] for one in listed] == [ended["executionId"]]
    assert statuses(listed[0]) == statuses(ended)
    detail = f"/workflows/executions/{ended['executionId']}/steps/detail/result"
    assert management.call("GET", detail) == (200, steps["detail"]["result"])


def test_a_diamond_joins_what_it_has_split(management: Management) -> None:
    gate = management.effects / "diamond-gate"
    management.create(
        "diamond",
        {"id": "a", "task": "echo", "params": {"value": 1}},
        {"id": "left-arm", "task": "echo", "dependsOn": ["a"], "params": {"value": "{{steps.a.result.got}}"}},
        {"id": "right", "dependsOn": ["a"], **wait(management, "diamond-gate")},
        {"id": "d", "task": "echo", "dependsOn": ["left-arm", "right"],
         "params": {"value": "{{steps.left-arm.result.got}}"}},
    )  # fmt: skip
    execution_id = management.execute("diamond")
    stores.wait_until(lambda: statuses(management.execution(execution_id))["left-arm"] == "completed", 60)
    assert statuses(management.execution(execution_id))["d"] == "pending"
    gate.touch()
    ended = management.await_end(execution_id)
    assert steps_of(ended)["d"]["result"] == {"got": 1}
    assert ended["status"] == "completed"


def test_a_fan_out_has_one_run_for_each_item_in_order_and_not_too_many_at_once(management: Management) -> None:
    count, parallel = 450, 40
    management.create(
        "fan",
        {"id": "all", "task": "noop", "forEach": "{{params.items}}", "params": {"at": "{{index}}"},
         "maxParallel": parallel},
        {"id": "none", "task": "noop", "forEach": []},
        {"id": "sum", "task": "echo", "dependsOn": ["all", "none"],
         "params": {"value": "{{steps.all.completed}}"}},
    )  # fmt: skip
    execution_id = management.execute("fan", items=list(range(count)))
    most = 0
    while True:
        shown = steps_of(management.execution(execution_id))["all"]
        counts = shown.get("items", {"completed": 0})
        most = max(most, len(shown["runIds"]) - counts["completed"])
        if shown["status"] != "running":
            break
    ended = management.await_end(execution_id)
    steps = steps_of(ended)
    assert steps["all"]["items"] == {"total": count, "completed": count, "failed": 0, "cancelled": 0}
    assert len(set(steps["all"]["runIds"])) == count
    assert steps["all"]["result"] == [None] * count
    assert (steps["none"]["result"], steps["sum"]["result"]) == ([], {"got": count})
    assert most <= parallel
    # An item's run is found under the execution, the step and its place.
    request = runs_pb2.GetRunRequest(contract="workflow", external_id=f"{execution_id}/all/449")
    run = management.cell.runs.GetRun(request, timeout=60)
    assert run.spec.parameters_json == b'{"at":449}'
    assert run.spec.run_id == runs_of(steps["all"])[449]


def test_a_step_whose_condition_is_false_is_skipped_with_what_depends_only_on_it(management: Management) -> None:
    management.create(
        "conditions",
        {"id": "a", "task": "echo", "params": {"value": 0}},
        {"id": "off", "task": "noop", "dependsOn": ["a"], "when": "{{steps.a.result.got > 0}}"},
        {"id": "behind", "task": "noop", "dependsOn": ["off"]},
        {"id": "both", "task": "noop", "dependsOn": ["off", "a"], "when": "{{steps.off.status == 'skipped'}}"},
        {"id": "asked", "task": "noop", "when": "{{params.gone}}"},
        {"id": "never", "task": "noop", "when": False},
    )
    ended = management.run("conditions")
    assert statuses(ended) == {
        "a": "completed", "off": "skipped", "behind": "skipped", "both": "completed", "asked": "skipped",
        "never": "skipped",
    }  # fmt: skip
    assert ended["status"] == "completed"
    assert steps_of(ended)["off"]["runIds"] == []


def test_a_failed_step_fails_the_execution_and_nothing_new_starts(management: Management) -> None:
    management.create(
        "fails",
        {"id": "bad", "taskType": "shell", "retry": 0, "params": {"command": "echo broken >&2; exit 3"}},
        {"id": "next", "task": "noop", "dependsOn": ["bad"]},
    )
    ended = management.run("fails")
    assert statuses(ended) == {"bad": "failed", "next": "skipped"}
    assert ended["status"] == "failed"
    assert "broken" in steps_of(ended)["bad"]["error"]
    assert "bad" in ended["error"]
    # The override won: one attempt, where the task's own policy allows more.
    assert management.cell.run(runs_of(steps_of(ended)["bad"])[0]).attempt == 1


def test_a_failed_step_that_says_continue_holds_nothing_up(management: Management) -> None:
    management.create(
        "continues",
        {"id": "some", "taskType": "shell", "retry": 0, "onFailure": "continue", "forEach": [0, 1, 0, 1],
         "params": {"command": 'echo {\\"code\\": {{item}}}; exit {{item}}'}},
        {"id": "next", "task": "echo", "dependsOn": ["some"], "params": {"value": "{{steps.some.failed}}"}},
    )  # fmt: skip
    ended = management.run("continues")
    some = steps_of(ended)["some"]
    assert (ended["status"], some["status"]) == ("completed", "failed")
    assert some["result"] == [{"code": 0}, None, {"code": 0}, None]
    assert some["error"].startswith("2 of 4 items did not complete")
    assert steps_of(ended)["next"]["result"] == {"got": 2}


def test_data_that_does_not_fit_a_template_fails_its_step_with_the_reason(management: Management) -> None:
    management.create(
        "misfits",
        {"id": "list", "task": "noop", "forEach": "{{params.list}}", "onFailure": "continue"},
        {"id": "missing", "task": "noop", "params": {"x": "{{params.gone.url}}"}, "onFailure": "continue"},
        {"id": "some", "task": "echo", "forEach": [{"n": 1}, {}, {"n": 3}], "params": {"value": "{{item.n}}"}},
    )
    ended = management.run("misfits", list="text")
    steps = steps_of(ended)
    assert (steps["list"]["status"], steps["list"]["error"]) == ("failed", "forEach must come to a list, not a string")
    assert "there is no gone.url" in steps["missing"]["error"]
    assert "there is no n" in steps["some"]["error"]
    assert ended["status"] == "failed"


def test_cancel_stops_every_running_step_and_answers_with_the_proof(management: Management) -> None:
    management.create(
        "long",
        {"id": "one", **wait(management, "never")},
        {"id": "many", "forEach": [1, 2, 3], "maxParallel": 2, **wait(management, "never")},
        {"id": "after", "task": "noop", "dependsOn": ["one"]},
    )
    execution_id = management.execute("long")

    def run_ids() -> list[int]:
        return [run_id for step in management.execution(execution_id)["steps"] for run_id in runs_of(step)]

    stores.wait_until(lambda: len(run_ids()) == 3, 60)
    for run_id in run_ids():
        management.cell.await_run(run_id, runs_pb2.RUN_STATUS_RUNNING)
    status, answer = management.call("POST", f"/workflows/executions/{execution_id}/cancel", {})
    ended = management.await_end(execution_id)
    assert (status, answer["cancelRequestedAt"] is not None) == (200, True)
    assert ended["status"] == "cancelled"
    assert statuses(ended) == {"one": "cancelled", "many": "cancelled", "after": "skipped"}
    assert len(run_ids()) == 3, "nothing was started afterwards"
    for run_id in run_ids():
        run = management.cell.run(run_id)
        assert (run.status, run.stop.stopped_ms > 0) == (runs_pb2.RUN_STATUS_ABORTED, True)
    again = management.call("POST", f"/workflows/executions/{execution_id}/cancel", {})
    assert (again[0], again[1]["status"]) == (200, "cancelled")


def test_an_execution_under_way_keeps_the_definition_it_started_with(management: Management) -> None:
    last = {"id": "last", "task": "echo", "dependsOn": ["first"], "params": {"value": 1}}
    management.create("versions", {"id": "first", **wait(management, "versions-gate")}, last)
    before = management.execute("versions")
    first = {"id": "first", "task": "noop"}
    new = {"steps": [first, last | {"params": {"value": 2}}, {"id": "third", "task": "noop"}]}
    status, changed = management.call("PUT", "/workflows/versions", new)
    assert (status, changed["version"]) == (200, 2)
    after = management.run("versions")
    (management.effects / "versions-gate").touch()
    old = management.await_end(before)
    assert (old["version"], steps_of(old)["last"]["result"], len(old["steps"])) == (1, {"got": 1}, 2)
    assert (after["version"], steps_of(after)["last"]["result"], len(after["steps"])) == (2, {"got": 2}, 3)
    assert management.call("PUT", "/workflows/versions", changed)[1]["version"] == 3, "what is shown can be sent back"
    assert management.call("DELETE", "/workflows/versions")[0] == 200
    assert management.call("GET", "/workflows/versions")[0] == 404
    assert management.call("POST", "/workflows/versions/execute", {})[0] == 404
    assert management.execution(before) == old
    assert management.create("versions", first)["version"] == 4, "no two definitions share a version"


def test_values_in_commands_are_never_read_as_shell_code(management: Management) -> None:
    evil = f"'; touch {management.effects}/evil; echo '$(touch {management.effects}/evil)"
    management.create(
        "quoting",
        {"id": "line", "taskType": "shell", "params": {"command": "printf '%s' 'x {{params.evil}}'"}},
        {"id": "words", "taskType": "shell", "params": {"command": "printf", "arguments": ["%s", "{{params.evil}}"]}},
        {"id": "twice", "task": "echo", "params": {"value": "{{params.again}}"}},
    )
    ended = management.run("quoting", evil=evil, again='"{{value}}"')
    assert steps_of(ended)["line"]["result"] == f"x {evil}"
    assert steps_of(ended)["words"]["result"] == evil
    assert steps_of(ended)["twice"]["result"] == {"got": "{{value}}"}
    assert "evil" not in management.made()


def test_bad_definitions_are_refused_with_the_steps_id(management: Management) -> None:
    good = {"id": "a", "task": "noop"}
    for steps, step_id in (
        ([{"id": "a", "task": "no such task"}], "a"),
        ([good, {"id": "b", "task": "noop", "dependsOn": ["c"]}], "b"),
        ([good | {"dependsOn": ["b"]}, {"id": "b", "task": "noop", "dependsOn": ["a"]}], "a"),
        ([good, {"id": "b", "task": "noop", "params": {"x": "{{steps.a.result}}"}}], "b"),
        ([good, {"id": "b", "task": "noop", "when": "{{().__class__()}}"}], "b"),
        ([good, {"id": "b", "task": "noop", "dependsOn": "a"}], "b"),
        ([good, {"id": "b", "task": "noop", "maxParallel": "many"}], "b"),
    ):
        status, body = management.call("POST", "/workflows", {"name": "bad", "steps": steps})
        assert (status, body["status"]) == (400, "error")
        assert f"'{step_id}'" in body["message"] or f"[{step_id}]" in body["message"]
    for body in ({}, {"name": "bad"}, {"name": "bad", "steps": "x"}, {"name": "executions", "steps": [good]}, [1]):
        assert management.call("POST", "/workflows", body)[0] == 400
    assert management.call("GET", "/workflows/bad")[0] == 404
    management.create("taken", good)
    assert management.call("POST", "/workflows", {"name": "taken", "steps": [good]})[0] == 409
    assert management.call("POST", "/workflows/taken/execute", {"params": [1]})[0] == 400
    assert management.call("GET", "/workflows/executions/nonsense")[0] == 404
    assert management.call("GET", "/workflows/executions?status=odd")[0] == 400
    names = [one["name"] for one in management.call("GET", "/workflows")[1]]
    assert names == sorted(names)
    assert "taken" in names


def test_the_same_idempotency_key_starts_one_execution(management: Management) -> None:
    management.create("once", {"id": "a", "task": "noop"})
    first = management.call("POST", "/workflows/once/execute", {"params": {"n": 1}}, Idempotency_Key="k1")
    again = management.call("POST", "/workflows/once/execute", {"params": {"n": 1}}, Idempotency_Key="k1")
    assert (first[0], first) == (200, again)
    other = management.call("POST", "/workflows/once/execute", {"params": {"n": 2}}, Idempotency_Key="k1")
    assert other[0] == 409
    assert len(management.call("GET", "/workflows/executions?workflow=once")[1]) == 1


def test_a_schedule_starts_executions_and_waits_for_the_one_before(management: Management) -> None:
    management.create("every-second", {"id": "a", "task": "effect", "params": {"at": "tick"}}, schedule="* * * * * *")
    management.create("slow-second", {"id": "a", **wait(management, "second-gate")}, schedule="* * * * * *")

    def executions(name: str) -> int:
        return len(management.call("GET", f"/workflows/executions?workflow={name}&limit=100")[1])

    stores.wait_until(lambda: executions("every-second") >= 4, 60)
    stores.wait_until(lambda: executions("slow-second"))
    assert executions("slow-second") == 1
    assert management.call("DELETE", "/workflows/every-second")[0] == 200
    assert management.call("DELETE", "/workflows/slow-second")[0] == 200
    (management.effects / "second-gate").touch()
    time.sleep(1.5)  # what was being started just then
    deleted = executions("every-second")
    time.sleep(2.5)  # two more fire times
    assert (executions("every-second"), executions("slow-second")) == (deleted, 1)
    shown = management.call("GET", "/workflows/executions?workflow=every-second&limit=100")[1]
    for execution in shown:
        management.await_end(execution["executionId"])
    assert len([name for name in management.made() if name.startswith("tick-")]) == deleted
