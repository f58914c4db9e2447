"""The life of a run through real processes: scheduler, scraper, NATS, Redis and the MongoDB stand-in."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import cell as cells
import grpc
import psutil
import pytest
from stores import wait_until
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

COMPLETED, FAILED = runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED
ABORTED, RUNNING, PENDING = runs_pb2.RUN_STATUS_ABORTED, runs_pb2.RUN_STATUS_RUNNING, runs_pb2.RUN_STATUS_PENDING


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module."""
    # A short grace: some commands here ignore SIGTERM.
    with cells.running_cell(tmp_path_factory.mktemp("cell"), GRACE_SECONDS="1") as running:
        yield running


def marked(run_id: int) -> list[psutil.Process]:
    """Living processes that carry the run's mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get("TRAWL_RUN", "")
            if f":{run_id}:" in mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_run_completes_with_its_commands_output_as_result(cell: cells.Cell) -> None:
    task = cell.create_task("prints", "shell", command="echo hello; echo '{\"answer\": 42}'")
    run = cell.await_run(cell.start_run(task))
    assert (run.status, run.attempt, run.worker_id) == (COMPLETED, 1, "worker-001")
    assert json.loads(run.result_json) == {"answer": 42}
    assert run.spec.created_ms <= run.started_ms <= run.completed_ms
    assert "hello" in cell.logs(run.spec.run_id)


def test_a_run_is_readable_the_moment_it_is_accepted(cell: cells.Cell) -> None:
    task = cell.create_task("visible", "noop")
    for _ in range(50):
        run_id = cell.start_run(task)
        assert cell.run(run_id).spec.task_name == "visible"
        listed = cell.runs.ListRuns(runs_pb2.ListRunsRequest(task_id=task, limit=100)).runs
        assert run_id in [run.spec.run_id for run in listed]


def test_parameters_of_the_trigger_overlay_the_tasks(cell: cells.Cell) -> None:
    task = cell.create_task(
        "overlay", "shell", command="echo $PARAM_A $PARAM_B", parameters=b'{"a": "task", "b": "task"}'
    )
    run = cell.await_run(cell.start_run(task, parameters=b'{"b": "trigger"}'))
    assert json.loads(run.result_json).strip() == "task trigger"


def test_parameters_of_many_megabytes_reach_the_executor_by_reference(cell: cells.Cell) -> None:
    script = cell.directory / "scripts" / "count.py"
    script.write_text("import os,sys,json\nprint(len(os.environ.get('PARAM_SMALL','')))\n")
    task = cell.create_task("large", "noop")
    run_id = cell.start_run(task, parameters=json.dumps({"big": "x" * 20_000_000}).encode())
    run = cell.await_run(run_id)
    assert run.status == COMPLETED
    assert run.spec.parameters_by_reference
    chunks = cell.runs.GetParameters(runs_pb2.GetParametersRequest(run_id=run_id))
    assert sum(len(chunk.data) for chunk in chunks) > 20_000_000


def test_a_failing_attempt_is_retried_with_backoff_and_then_fails_for_good(cell: cells.Cell) -> None:
    task = cell.create_task("fails", "shell", command="echo oh no >&2; exit 3", retry_count=2)
    run = cell.await_run(cell.start_run(task))
    assert (run.status, run.attempt) == (FAILED, 3)
    assert "exit code 3" in run.error_message
    assert "oh no" in run.error_message


def test_a_retry_that_succeeds_completes_the_run(cell: cells.Cell, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    task = cell.create_task("second", "shell", command=f"test -e {flag} || {{ touch {flag}; exit 1; }}")
    run = cell.await_run(cell.start_run(task))
    assert (run.status, run.attempt, run.error_message) == (COMPLETED, 2, "")


def test_an_invalid_definition_is_not_retried(cell: cells.Cell) -> None:
    task = cell.create_task("invalid", "shell", command="   ")
    run = cell.await_run(cell.start_run(task))
    assert (run.status, run.attempt) == (FAILED, 1)
    assert "command" in run.error_message


def test_a_timeout_counts_from_the_attempts_start_and_leaves_nothing_alive(cell: cells.Cell) -> None:
    task = cell.create_task("slow", "shell", command="sleep 60 & sleep 60", timeout_seconds=1, retry_count=0)
    run_id = cell.start_run(task)
    cell.await_run(run_id, RUNNING)
    run = cell.await_run(run_id)
    assert (run.status, run.error_code) == (FAILED, "TIMED_OUT")
    assert 1.0 <= (run.completed_ms - run.started_ms) / 1000 < 40
    assert marked(run_id) == []


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) < 2:
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


def test_an_abort_ends_in_proof_after_the_grace_even_for_stubborn_children(cell: cells.Cell) -> None:
    (cell.directory / "scripts" / "stubborn.py").write_text(STUBBORN)
    task = cell.create_task("stubborn", "python", command="stubborn.py")
    run_id = cell.start_run(task)
    cell.await_run(run_id, RUNNING)
    wait_until(lambda: cell.logs(run_id).count("up") >= 2)
    assert len(marked(run_id)) >= 2
    request = runs_pb2.AbortRunRequest(run_id=run_id, wait_ms=20_000, requested_by="ann", reason="wrong kiln")
    run = cell.runs.AbortRun(request, timeout=60)
    assert marked(run_id) == []
    assert run.status == ABORTED
    assert run.stop.how == "kill"
    assert run.stop.leftovers_killed >= 1
    assert run.stop.requested_ms <= run.stop.delivered_ms <= run.stop.stopped_ms
    assert cell.run(run_id).status == ABORTED
    assert (cell.run(run_id).stop.requested_by, cell.run(run_id).stop.reason) == ("ann", "wrong kiln")


def test_a_waiting_run_is_aborted_at_once_and_never_starts(cell: cells.Cell, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    task = cell.create_task("waits", "nobody-offers-this")
    run_id = cell.start_run(task)
    request = runs_pb2.AbortRunRequest(run_id=run_id, wait_ms=5_000, requested_by="ann", reason="wrong kiln")
    run = cell.runs.AbortRun(request, timeout=60)
    assert (run.status, run.stop.how, run.stop.reason) == (ABORTED, "before_start", "wrong kiln")
    assert not touched.exists()


def test_an_ended_run_can_not_be_aborted(cell: cells.Cell) -> None:
    run_id = cell.start_run(cell.create_task("ended", "noop"))
    cell.await_run(run_id)
    with pytest.raises(grpc.RpcError) as caught:
        cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id, wait_ms=1_000), timeout=60)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_run_between_two_attempts_can_be_aborted(cell: cells.Cell) -> None:
    task = cell.create_task("parked", "shell", command="exit 1", retry_count=50)
    run_id = cell.start_run(task)
    wait_until(lambda: cell.run(run_id).attempt >= 2)
    run = cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id, wait_ms=10_000), timeout=60)
    assert run.status == ABORTED
    attempts = run.attempt
    time.sleep(1.5)  # longer than the longest retry delay of this task
    assert (cell.run(run_id).status, cell.run(run_id).attempt) == (ABORTED, attempts)


def test_a_task_without_a_worker_blocks_nobody_else(cell: cells.Cell) -> None:
    stuck = cell.start_run(cell.create_task("stuck", "no-such-type"), priority=runs_pb2.PRIORITY_CRITICAL)
    run = cell.await_run(cell.start_run(cell.create_task("goes-on", "noop")))
    assert run.status == COMPLETED
    assert cell.run(stuck).status == PENDING


def test_a_tasks_statistics_count_its_ended_runs(cell: cells.Cell, tmp_path: Path) -> None:
    good = tmp_path / "good"
    task = cell.create_task("counted", "shell", command=f"sleep 0.2; [ -e {good} ]", retry_count=0)
    assert cell.await_run(cell.start_run(task)).status == FAILED
    good.touch()
    runs = [cell.await_run(cell.start_run(task)) for _ in range(2)]
    request = tasks_pb2.GetTaskRequest(id=task, with_statistics=True)
    wait_until(lambda: cell.tasks.GetTask(request).statistics.total_runs >= 3)
    detail = cell.tasks.GetTask(request)
    counted = detail.statistics
    assert (counted.total_runs, counted.successful_runs, counted.failed_runs) == (3, 2, 1)
    assert counted.last_execution_status == "success"
    times = [run.completed_ms - run.started_ms for run in runs]
    assert counted.average_execution_seconds == pytest.approx(sum(times) / 2_000, abs=0.01)
    assert detail.task.last_run_ms == runs[-1].started_ms


def test_the_same_external_id_starts_one_run_while_it_lives(cell: cells.Cell) -> None:
    inline = runs_pb2.TaskDefinition(name="rpa-like", task_type="nobody", executor="nobody")

    def start(digest: str) -> runs_pb2.StartRunResult:
        request = runs_pb2.StartRun(inline=inline, contract="smartrpa", external_id="task123", request_digest=digest)
        return cell.runs.StartRuns(runs_pb2.StartRunsRequest(runs=[request]), timeout=60).results[0]

    first, again, other = start("a"), start("a"), start("b")
    assert again.existing
    assert again.run.spec.run_id == first.run.spec.run_id
    assert other.error.kind == "conflict"
    cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=first.run.spec.run_id, wait_ms=5_000), timeout=60)
    after = start("b")
    assert after.run.spec.run_id not in (0, first.run.spec.run_id)
    found = cell.runs.GetRun(runs_pb2.GetRunRequest(contract="smartrpa", external_id="task123"))
    assert found.spec.run_id == after.run.spec.run_id


def test_a_changed_task_is_used_by_the_next_trigger(cell: cells.Cell) -> None:
    task = cell.create_task("changes", "shell", command="echo old")
    assert json.loads(cell.await_run(cell.start_run(task)).result_json).strip() == "old"
    from trawl.scheduler.v1 import tasks_pb2

    change = tasks_pb2.UpdateTaskRequest(id=task, task=tasks_pb2.Task(command="echo new"), fields=["command"])
    cell.tasks.UpdateTask(change, timeout=60)
    assert json.loads(cell.await_run(cell.start_run(task)).result_json).strip() == "new"


def test_urgent_work_starts_first(cell: cells.Cell, tmp_path: Path) -> None:
    """With one worker's slots full, the critical run that came last starts before the low ones that wait."""
    gate = tmp_path / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.05; done; sleep 0.2"
    task = cell.create_task("slots", "shell", command=command, retry_count=0)
    low = [cell.start_run(task, priority=runs_pb2.PRIORITY_LOW) for _ in range(30)]
    wait_until(lambda: any(cell.run(run_id).status == RUNNING for run_id in low))
    urgent = cell.start_run(task, priority=runs_pb2.PRIORITY_CRITICAL)
    gate.touch()
    started = cell.await_run(urgent).started_ms
    later = sum(1 for run_id in low if cell.await_run(run_id).started_ms > started)
    assert later >= 10


def test_a_million_character_line_and_a_flood_of_lines_do_no_harm(cell: cells.Cell) -> None:
    command = "head -c 1000000 /dev/zero | tr '\\0' x; echo; seq 1 50000"
    run = cell.await_run(cell.start_run(cell.create_task("flood", "shell", command=command)))
    assert run.status == COMPLETED
    lines = cell.logs(run.spec.run_id)
    assert max(len(line) for line in lines) < 10_000
    assert len(lines) < 10_000


def test_too_many_waiting_runs_are_refused_and_none_of_those_accepted_is_lost(tmp_path: Path) -> None:
    """A full queue pushes back with `exhausted`; after it has emptied, starts are accepted again."""
    with cells.running_cell(tmp_path, MAX_PENDING_RUNS="50") as small:
        task = small.create_task("waits", "nobody-offers-this")
        request = runs_pb2.StartRunsRequest(runs=[runs_pb2.StartRun(task_id=task, contract="scheduler")] * 30)
        first = small.runs.StartRuns(request, timeout=60).results
        second = small.runs.StartRuns(request, timeout=60).results
        third = small.runs.StartRuns(request, timeout=60).results
        assert not any(result.HasField("error") for result in [*first, *second])
        assert {result.error.kind for result in third} == {"exhausted"}
        assert small.runs.ListRuns(runs_pb2.ListRunsRequest(task_id=task, limit=1)).total == 60
        for result in first:
            small.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=result.run.spec.run_id, wait_ms=5_000), timeout=60)
        again = small.runs.StartRuns(request, timeout=60).results
        assert not any(result.HasField("error") for result in again)


def test_a_refused_task_uses_up_no_id(cell: cells.Cell) -> None:
    first = cell.create_task("taken", "noop")
    with pytest.raises(grpc.RpcError) as caught:
        cell.create_task("taken", "noop")
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert cell.create_task("free", "noop") == first + 1


@pytest.mark.parametrize("parameters", [b"{", b"[1]", b"\xff", b"NaN"])
def test_parameters_that_are_no_object_of_json_are_refused_alone(cell: cells.Cell, parameters: bytes) -> None:
    inline = runs_pb2.TaskDefinition(name=f"odd-{parameters!r}", task_type="nobody", executor="nobody")
    request = runs_pb2.StartRunsRequest(
        runs=[
            runs_pb2.StartRun(
                inline=inline, contract="smartrpa", external_id=f"{parameters!r}-{index}", parameters_json=raw
            )
            for index, raw in enumerate((parameters, b'{"a": 1}'))
        ]
    )
    refused, started = cell.runs.StartRuns(request, timeout=60).results
    assert (refused.error.kind, refused.error.field) == ("invalid_input", "parameters_json")
    assert not started.HasField("error")
    cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=started.run.spec.run_id, wait_ms=5_000), timeout=60)
