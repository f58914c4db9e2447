"""Dependencies and explanations through real processes."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cell as cells
import grpc
import pytest
import stores
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

COMPLETED, FAILED = runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED
PENDING, ABORTED = runs_pb2.RUN_STATUS_PENDING, runs_pb2.RUN_STATUS_ABORTED


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for the tests of this module that break nothing."""
    with cells.running_cell(tmp_path_factory.mktemp("cell")) as running:
        yield running


def create(cell: cells.Cell, name: str, *dependencies: object, executor: str = "noop", **fields: object) -> int:
    """The id of a task that depends on these ids or names."""
    fields = {"retry_count": 0, "timeout_seconds": 60, **fields}
    task = tasks_pb2.Task(
        name=name, task_type=executor, executor=executor, priority=runs_pb2.PRIORITY_NORMAL,
        dependencies=[str(one) for one in dependencies], **fields,
    )  # fmt: skip
    return cell.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task=task), timeout=60, wait_for_ready=True).id


def runs_of(cell: cells.Cell, task_id: int) -> list[runs_pb2.Run]:
    """The task's runs, oldest first."""
    request = runs_pb2.ListRunsRequest(task_id=task_id, limit=1000, sort="id", ascending=True)
    return list(cell.runs.ListRuns(request, timeout=60, wait_for_ready=True).runs)


def statuses(cell: cells.Cell, task_id: int) -> list[int]:
    """The statuses of the task's runs, oldest first."""
    return [run.status for run in runs_of(cell, task_id)]


def explain(cell: cells.Cell, run_id: int) -> runs_pb2.RunExplanation:
    """Why it has not started, or how it ended."""
    return cell.runs.Explain(runs_pb2.ExplainRunRequest(run_id=run_id), timeout=60)


def refused_field(refused: pytest.ExceptionInfo[grpc.RpcError]) -> str | None:
    """The field that the error names."""
    return json.loads(dict(refused.value.trailing_metadata())["trawl-error-bin"])["field"]


def test_a_run_waits_until_every_dependency_has_completed(cell: cells.Cell) -> None:
    a, b = create(cell, "wait a"), create(cell, "wait b")
    c = create(cell, "wait c", a, "wait b")
    run_id = cell.start_run(c)
    assert cell.run(run_id).status == PENDING
    assert "'wait a'" in cell.run(run_id).waiting_reason
    cell.await_run(cell.start_run(a))
    stores.wait_until(lambda: "'wait a'" not in cell.run(run_id).waiting_reason)
    assert (cell.run(run_id).status, "'wait b'" in cell.run(run_id).waiting_reason) == (PENDING, True)
    cell.await_run(cell.start_run(b))
    assert cell.await_run(run_id).status == COMPLETED
    stores.wait_until(lambda: statuses(cell, c) == [COMPLETED])


def test_the_last_completion_starts_an_active_dependent_once_and_is_used_up(cell: cells.Cell) -> None:
    a, b = create(cell, "auto a"), create(cell, "auto b")
    c = create(cell, "auto c", a, b)
    cell.await_run(cell.start_run(a))
    cell.await_run(cell.start_run(b))
    stores.wait_until(lambda: statuses(cell, c) == [COMPLETED])
    cell.await_run(cell.start_run(a))
    again = cell.start_run(c)
    stores.wait_until(lambda: "'auto b'" in cell.run(again).waiting_reason)
    stores.wait_until(lambda: statuses(cell, c) == [COMPLETED, PENDING])
    cell.await_run(cell.start_run(b))
    assert cell.await_run(again).status == COMPLETED
    stores.wait_until(lambda: statuses(cell, c) == [COMPLETED, COMPLETED])


def test_a_chain_runs_to_its_end(cell: cells.Cell) -> None:
    chain = [create(cell, "chain 0")]
    for n in range(1, 6):
        chain.append(create(cell, f"chain {n}", chain[-1]))
    cell.start_run(chain[0])
    stores.wait_until(lambda: all(statuses(cell, task) == [COMPLETED] for task in chain))


def test_a_failed_dependency_leaves_the_run_waiting_and_says_on_what(cell: cells.Cell) -> None:
    a = create(cell, "breaks", executor="shell", command="exit 1")
    b = create(cell, "needs it", a)
    run_id = cell.start_run(b)
    failed = cell.await_run(cell.start_run(a))
    assert failed.status == FAILED
    stores.wait_until(lambda: f"run {failed.spec.run_id} failed" in cell.run(run_id).waiting_reason)
    reasons = explain(cell, run_id).reasons
    assert [(reason.code, reason.task_id) for reason in reasons] == [("dependency", a)]
    assert "'breaks'" in reasons[0].message
    assert cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id)).status == ABORTED


def test_a_trigger_may_skip_the_wait(cell: cells.Cell) -> None:
    b = create(cell, "hurried", create(cell, "slowpoke"))
    assert cell.await_run(cell.start_run(b, ignore_dependencies=True)).status == COMPLETED


def test_a_paused_dependent_is_not_started_but_a_waiting_run_of_it_is(cell: cells.Cell) -> None:
    a = create(cell, "calls")
    b = create(cell, "rests", a)
    paused = tasks_pb2.UpdateTaskRequest(id=b, task=tasks_pb2.Task(status="paused"), fields=["status"])
    cell.tasks.UpdateTask(paused, timeout=60)
    probe = create(cell, "probe", a)
    cell.await_run(cell.start_run(a))
    stores.wait_until(lambda: statuses(cell, probe) == [COMPLETED])
    assert runs_of(cell, b) == []
    assert cell.await_run(cell.start_run(b)).status == COMPLETED


def test_unknown_dependencies_and_cycles_are_refused_with_the_field(cell: cells.Cell) -> None:
    a = create(cell, "ring a")
    b = create(cell, "ring b", a)
    c = create(cell, "ring c", "ring b")
    for reference in (str(a), "ring b", str(c)):
        request = tasks_pb2.UpdateTaskRequest(
            id=a, task=tasks_pb2.Task(dependencies=[reference]), fields=["dependencies"]
        )
        with pytest.raises(grpc.RpcError) as refused:
            cell.tasks.UpdateTask(request, timeout=60)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert refused_field(refused) == "dependencies"
    for unknown in ("999999", "no such task", "own name"):
        with pytest.raises(grpc.RpcError) as refused:
            create(cell, "own name", unknown)
        assert refused_field(refused) == "dependencies"
    with pytest.raises(grpc.RpcError) as refused:
        cell.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=b), timeout=60)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_waiting_run_ends_with_its_deleted_task(cell: cells.Cell) -> None:
    b = create(cell, "doomed", create(cell, "unhurried"))
    run_id = cell.start_run(b)
    cell.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=b), timeout=60)
    assert cell.await_run(run_id).status == ABORTED


def test_a_run_without_a_worker_says_so(cell: cells.Cell) -> None:
    task = create(cell, "exotic", executor="quantum")
    first, second = cell.start_run(task), cell.start_run(task)
    stores.wait_until(lambda: "no worker offers 'quantum'" in cell.run(second).waiting_reason)
    reasons = {reason.code: reason for reason in explain(cell, second).reasons}
    assert set(reasons) == {"no_worker", "queue_position"}
    assert (reasons["queue_position"].ahead, reasons["queue_position"].exact) == (1, True)
    for run_id in (first, second):
        cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id), timeout=60)


def test_an_explanation_tells_retry_delay_and_ends(cell: cells.Cell) -> None:
    metadata = b'{"retry": {"initial_seconds": 30}}'
    task = create(cell, "retries", executor="shell", command="exit 7", retry_count=1, metadata_json=metadata)
    run_id = cell.start_run(task)
    stores.wait_until(lambda: cell.run(run_id).not_before_ms > 0)
    (reason,) = explain(cell, run_id).reasons
    assert (reason.code, reason.until_ms) == ("retry_delay", cell.run(run_id).not_before_ms)
    cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id), timeout=60)
    assert [reason.code for reason in explain(cell, run_id).reasons] == ["aborted"]
    failing = cell.start_run(create(cell, "fails", executor="shell", command="exit 7"))
    cell.await_run(failing)
    answer = explain(cell, failing)
    assert ([reason.code for reason in answer.reasons], answer.attempts) == (["failed"], 1)
    assert "exit code 7" in answer.summary


def test_waiting_runs_and_chains_survive_every_crash(tmp_path: Path) -> None:
    with cells.running_cell(tmp_path) as cell:
        a = create(cell, "a")
        chain = [a]
        for n in range(4):
            chain.append(create(cell, f"link {n}", chain[-1]))
        waiting = create(cell, "waits", chain[-1])
        run_id = cell.start_run(waiting)
        cell.programs["redis"].wipe()
        cell.restart("scheduler")
        stores.wait_until(lambda: still(cell, run_id))
        first = cell.start_run(a)
        for _ in range(3):
            cell.restart("scheduler")
            cell.programs["scheduler"].wait_ready()
        assert cell.await_run(first, seconds=90).status == COMPLETED
        assert cell.await_run(run_id, seconds=90).status == COMPLETED
        for task in (*chain, waiting):
            stores.wait_until(lambda task=task: statuses(cell, task) == [COMPLETED])


def still(cell: cells.Cell, run_id: int) -> bool:
    """Whether the run is there and waits."""
    try:
        return cell.run(run_id).status == PENDING
    except grpc.RpcError:
        return False


def http(cell: cells.Cell, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """(status, the JSON body) of the gateway's answer."""
    headers = {"Authorization": f"Bearer {cell.api_key}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(cell.api + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_rest_contract_shows_previews_explanations_and_refusals(cell: cells.Cell) -> None:
    cell.start("gateway")
    new = {"name": "rest", "task_type": "shell", "executor": "shell", "command": "true"}
    for change, field in (
        ({"schedule": "not a cron"}, "schedule"),
        ({"schedule": "CRON_TZ=Mars/Base * * * * *"}, "schedule"),
        ({"dependencies": [424242]}, "dependencies"),
        ({"metadata": {"misfire": "perhaps"}}, "metadata.misfire"),
    ):
        status, body = http(cell, "POST", "/tasks", new | change)
        assert (status, body["error"]["code"], body["error"]["details"]["field"]) == (422, "VALIDATION_ERROR", field)
    status, body = http(cell, "POST", "/tasks", new | {"schedule": "CRON_TZ=Europe/Berlin 30 2 * * *"})
    assert (status, body["data"]["next_run_at"] is not None) == (201, True)
    base = f"/tasks/{body['data']['id']}"
    query = "n=2&from=2026-03-28T12:00:00Z&down_from=2026-03-28T00:00:00Z&down_to=2026-03-30T12:00:00%2B02:00"
    status, body = http(cell, "GET", f"{base}/schedule/preview?{query}")
    assert status == 200
    assert [fire["fire_at"] for fire in body["data"]["fires"]] == ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    assert [fire["action"] for fire in body["data"]["outage"]] == ["skip", "skip", "run"]
    for bad in ("n=0", "n=x", "from=yesterday", "down_from=2026-01-01", "down_from=2026-01-02&down_to=2026-01-01"):
        assert http(cell, "GET", f"{base}/schedule/preview?{bad}")[0] == 422
    assert http(cell, "GET", "/tasks/999999/schedule/preview")[0] == 404
    dependent = http(cell, "POST", "/tasks", new | {"name": "rest dependent", "dependencies": ["rest slow"]})
    assert dependent[0] == 422
    slow = http(cell, "POST", "/tasks", new | {"name": "rest slow"})[1]["data"]["id"]
    waits = http(cell, "POST", "/tasks", new | {"name": "rest waits", "dependencies": [slow]})[1]["data"]["id"]
    run_id = http(cell, "POST", f"/tasks/{waits}/trigger", {})[1]["data"]["run_id"]
    explained = http(cell, "GET", f"/runs/{run_id}/explain")[1]["data"]
    assert (explained["status"], explained["reasons"][0]["code"]) == ("pending", "dependency")
    assert "'rest slow'" in http(cell, "GET", f"/runs/{run_id}")[1]["data"]["waiting_reason"]
    free = http(cell, "POST", f"/tasks/{waits}/trigger", {"parameters": {}, "ignore_dependencies": True})[1]["data"]
    assert cell.await_run(free["run_id"]).status == COMPLETED
    assert http(cell, "DELETE", f"/tasks/{slow}")[0] == 409
    assert http(cell, "GET", "/runs/999999/explain")[0] == 404


def test_a_run_that_waits_for_its_retry_ends_with_its_deleted_task(cell: cells.Cell) -> None:
    metadata = b'{"retry": {"initial_seconds": 600}}'
    task = create(cell, "retired", executor="shell", command="exit 7", retry_count=1, metadata_json=metadata)
    run_id = cell.start_run(task)
    stores.wait_until(lambda: cell.run(run_id).not_before_ms > 0)
    cell.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task), timeout=60)
    ended = cell.await_run(run_id)
    assert (ended.status, ended.error_message) == (ABORTED, "its task was deleted before it started")


def test_a_run_that_nobody_takes_ends_with_its_deleted_task(cell: cells.Cell) -> None:
    task = create(cell, "unwanted", executor="alchemy")
    run_id = cell.start_run(task)
    cell.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task), timeout=60)
    assert cell.await_run(run_id).status == ABORTED
