"""Schedules through real processes: one run for each fire time, whatever happens to the schedulers."""

import json
import os
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import cell as cells
import grpc
import pymongo
import pytest
import stores
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

EVERY_SECOND = "* * * * * *"
EVERY_TWO = "*/2 * * * * *"
NEVER_SOON = "0 0 1 1 *"
# Raise them for a longer test: TRAWL_SCHEDULED_TASKS=200 TRAWL_FIRE_TIMES=30.
TASKS = int(os.environ.get("TRAWL_SCHEDULED_TASKS", "20"))
FIRE_TIMES = int(os.environ.get("TRAWL_FIRE_TIMES", "6"))
WAIT_FOR = "until [ -e {} ]; do sleep 0.05; done"


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for the tests of this module that break nothing."""
    with cells.running_cell(tmp_path_factory.mktemp("cell")) as running:
        yield running


def create(cell: cells.Cell, name: str, schedule: str = "", **fields: object) -> int:
    """A task's id; `metadata` as a dict, `command` for a shell task."""
    executor = "shell" if "command" in fields else "noop"
    metadata = fields.pop("metadata", {})
    task = tasks_pb2.Task(
        name=name, task_type=executor, executor=executor, priority=runs_pb2.PRIORITY_NORMAL, schedule=schedule,
        metadata_json=json.dumps(metadata).encode(), retry_count=0, timeout_seconds=60, **fields,
    )  # fmt: skip
    return cell.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task=task), timeout=60, wait_for_ready=True).id


def update(cell: cells.Cell, task_id: int, **fields: object) -> tasks_pb2.Task:
    """The task with those fields changed."""
    request = tasks_pb2.UpdateTaskRequest(id=task_id, task=tasks_pb2.Task(**fields), fields=list(fields))
    return cell.tasks.UpdateTask(request, timeout=60, wait_for_ready=True)


def fires(cell: cells.Cell, task_id: int) -> list[tasks_pb2.Fire]:
    """The task's records, oldest first."""
    request = tasks_pb2.ListFiresRequest(task_id=task_id, limit=1000)
    return list(cell.tasks.ListFires(request, timeout=60, wait_for_ready=True).fires)[::-1]


def runs_of(cell: cells.Cell, task_id: int) -> list[runs_pb2.Run]:
    """The task's runs, oldest first."""
    request = runs_pb2.ListRunsRequest(task_id=task_id, limit=1000, sort="id", ascending=True)
    return list(cell.runs.ListRuns(request, timeout=60, wait_for_ready=True).runs)


def await_fires(cell: cells.Cell, task_id: int, count: int, seconds: float = 40) -> list[tasks_pb2.Fire]:
    """The records once there are so many."""
    stores.wait_until(lambda: len(fires(cell, task_id)) >= count, seconds)
    return fires(cell, task_id)


def explain(cell: cells.Cell, run_id: int) -> runs_pb2.RunExplanation:
    """Why it has not started, or how it ended."""
    return cell.runs.Explain(runs_pb2.ExplainRunRequest(run_id=run_id), timeout=60)


def assert_each_fire_time_ran_once(cell: cells.Cell, task_id: int, step_ms: int) -> None:
    """Records without a gap, each with a run of its own that is there once, and no run without a record."""
    # The run of the newest record comes after it.
    stores.wait_until(lambda: {one.run_id for one in fires(cell, task_id) if one.run_id}
                      <= {run.spec.run_id for run in runs_of(cell, task_id)})  # fmt: skip
    records = fires(cell, task_id)
    times = [record.fire_ms for record in records]
    assert times == list(range(times[0], times[-1] + 1, step_ms))
    started = sorted(record.run_id for record in records if record.run_id)
    assert all(record.run_id or record.reason for record in records)
    assert len(set(started)) == len(started)
    assert started == [run.spec.run_id for run in runs_of(cell, task_id)]


def test_three_schedulers_and_a_kill_start_one_run_for_each_fire_time(tmp_path: Path) -> None:
    with cells.running_cell(tmp_path) as cell:
        for name in ("second", "third"):
            cell.add_scheduler(name).start()
        tasks = [create(cell, f"t{n}", EVERY_TWO, metadata={"overlap": "allow"}) for n in range(TASKS)]
        seconds = 60 + 2 * FIRE_TIMES
        await_fires(cell, tasks[0], FIRE_TIMES // 2, seconds)
        cell.programs["second"].kill()
        await_fires(cell, tasks[0], FIRE_TIMES - 1, seconds)
        cell.programs["second"].start()
        await_fires(cell, tasks[-1], FIRE_TIMES, seconds)  # made last: each of the others has at least as many
        cell.programs["third"].kill()
        for task in tasks:
            update(cell, task, status="paused")
        # A record that a dead scheduler left open is completed by the others.
        stores.wait_until(lambda: all(len(runs_of(cell, task)) >= FIRE_TIMES for task in tasks), 60)
        for task in tasks:
            assert all(record.action == "started" for record in fires(cell, task) if record.reason != "paused")
            assert_each_fire_time_ran_once(cell, task, 2_000)


def test_an_outage_is_made_up_for_by_each_tasks_policy(tmp_path: Path) -> None:
    with cells.running_cell(tmp_path) as cell:
        tasks = {
            name: create(cell, name, EVERY_SECOND, metadata={"misfire": name, "overlap": "allow"})
            for name in ("skip", "once", "all")
        }
        paused = create(cell, "paused", EVERY_SECOND, metadata={"misfire": "all"})
        update(cell, paused, status="paused")
        await_fires(cell, tasks["once"], 2)
        cell.programs["scheduler"].kill()
        down = time.time() * 1000
        time.sleep(8)  # the outage itself; more than what merely counts as late
        cell.programs["scheduler"].start()
        up = time.time() * 1000
        for task in (*tasks.values(), paused):
            stores.wait_until(lambda task=task: fires(cell, task)[-1].fire_ms > up)
        missed = {
            name: [record for record in fires(cell, task) if down + 1000 < record.fire_ms < up - 2000]
            for name, task in tasks.items()
        }
        assert len(missed["all"]) >= 4
        assert all(record.run_id for record in missed["all"])
        assert not any(record.run_id for record in missed["skip"])
        # The last missed time is made up for, which is past `up` when the scheduler takes its time to start.
        late = [record for record in fires(cell, tasks["once"]) if record.fire_ms > down + 1000]
        passed = list(takewhile(lambda record: not record.run_id, late))
        assert len(passed) >= 4
        assert all("misfire=once" in record.reason for record in (*passed, late[len(passed)]))
        assert all("misfire" in record.reason for record in missed["skip"] + missed["once"])
        assert all(record.reason == "paused" and not record.run_id for record in fires(cell, paused)[2:])
        assert runs_of(cell, paused) == [] or len(runs_of(cell, paused)) <= 2
        for task in tasks.values():
            update(cell, task, status="paused")
            assert_each_fire_time_ran_once(cell, task, 1_000)


def test_a_paused_schedule_records_why_and_resumes_without_making_up(cell: cells.Cell) -> None:
    task = create(cell, "pausing", EVERY_SECOND, metadata={"misfire": "all"})
    await_fires(cell, task, 1)
    paused = update(cell, task, status="paused")
    assert paused.next_run_ms == 0
    stores.wait_until(lambda: [record.reason for record in fires(cell, task)].count("paused") >= 2)
    manual = cell.start_run(task)
    assert cell.await_run(manual).status == runs_pb2.RUN_STATUS_COMPLETED
    resumed = update(cell, task, status="active")
    assert resumed.next_run_ms > resumed.updated_ms
    since = resumed.updated_ms
    stores.wait_until(lambda: any(record.run_id for record in fires(cell, task) if record.fire_ms > since))
    update(cell, task, status="paused")
    between = [record for record in fires(cell, task) if paused.updated_ms < record.fire_ms <= since]
    assert between
    assert not any(record.run_id for record in between)


def test_editing_a_schedule_fires_no_past_time(cell: cells.Cell) -> None:
    task = create(cell, "edited", NEVER_SOON, metadata={"misfire": "all"})
    edited = update(cell, task, schedule=EVERY_SECOND)
    records = await_fires(cell, task, 2)
    assert min(record.fire_ms for record in records) > edited.updated_ms
    update(cell, task, schedule="")
    assert cell.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task)).task.next_run_ms == 0


def test_a_fire_time_that_finds_a_run_going_is_skipped_with_the_reason(cell: cells.Cell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = create(cell, "overlapping", EVERY_SECOND, command=WAIT_FOR.format(gate))
    records = await_fires(cell, task, 3)
    assert records[0].action == "started"
    assert records[1].action == "skipped"
    assert f"run {records[0].run_id} is still going" in records[1].reason
    manual = cell.start_run(task)
    assert cell.await_run(manual, runs_pb2.RUN_STATUS_RUNNING)
    update(cell, task, status="paused")
    gate.touch()


def test_a_queued_fire_waits_for_the_earlier_run_and_then_goes_on(cell: cells.Cell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = create(cell, "queueing", EVERY_SECOND, command=WAIT_FOR.format(gate), metadata={"overlap": "queue"})
    records = await_fires(cell, task, 3)
    update(cell, task, status="paused")
    second = records[1].run_id
    assert records[1].action == "queued"
    waiting = cell.run(second)
    assert waiting.status == runs_pb2.RUN_STATUS_PENDING
    assert waiting.waiting_reason
    assert explain(cell, second).reasons[0].code == "overlap"
    gate.touch()
    first, later = cell.await_run(records[0].run_id), cell.await_run(second)
    assert later.status == runs_pb2.RUN_STATUS_COMPLETED
    assert later.started_ms >= first.completed_ms


def test_the_preview_shows_daylight_saving_and_what_an_outage_would_run(cell: cells.Cell) -> None:
    task = create(cell, "previewed", "CRON_TZ=America/New_York 30 2 * * *", metadata={"misfire": "all"})
    march_7 = 1_772_841_600_000  # 2026-03-07T00:00:00Z
    day = 86_400_000
    request = tasks_pb2.SchedulePreviewRequest(
        task_id=task, n=3, from_ms=march_7, down_from_ms=march_7, down_to_ms=march_7 + 9 * day
    )
    preview = cell.tasks.GetSchedulePreview(request, timeout=60)
    assert [(fire.fire_ms - march_7) / 3_600_000 for fire in preview.fires] == [7.5, 31.0, 54.5]
    assert "does not exist in America/New_York" in preview.fires[1].note
    assert [fire.action for fire in preview.outage] == ["skip", "skip", *["run"] * 7]
    assert "misfire window" in preview.outage[0].note


def test_bad_schedules_are_refused_with_the_field(cell: cells.Cell) -> None:
    for schedule in ("nonsense", "61 * * * *", "CRON_TZ=Nowhere/At_All * * * * *", "0 0 30 2 *"):
        with pytest.raises(grpc.RpcError) as refused:
            create(cell, f"bad {schedule[:3]}", schedule)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert b'"field":"schedule"' in dict(refused.value.trailing_metadata())["trawl-error-bin"]


def test_tasks_sort_by_their_next_run(cell: cells.Cell) -> None:
    late = create(cell, "sort late", "0 0 1 1 *")
    soon = create(cell, "sort soon", "0 * * * *")
    never = create(cell, "sort never")
    request = tasks_pb2.ListTasksRequest(search="sort ", sort="next_run_at", ascending=True, limit=10)
    assert [task.id for task in cell.tasks.ListTasks(request, timeout=60).tasks] == [soon, late, never]


def test_what_a_dead_scheduler_had_promised_is_started_once(cell: cells.Cell) -> None:
    """Killed between the record and the run: the next scheduler starts the run under the promised id."""
    task, dependent = create(cell, "promised", NEVER_SOON), create(cell, "promised too", NEVER_SOON)
    first = cell.start_run(task) + 1_000_000
    with pymongo.MongoClient(cell.programs["mongodb"].url, retryWrites=False) as client:
        database = client["trawl_scheduler"]
        key = f"{task:012d}:{1_000_000_000_000:015d}"
        database["schedule_batches"].insert_one({"_id": "dead", "opened_ms": 1, "keys": [key, f"{task:012d}:never"]})
        database["schedule_fires"].insert_one(
            {"_id": key, "task_id": task, "fire_ms": 1_000_000_000_000, "action": "started", "recorded_ms": 1,
             "run_id": first, "reason": "", "until_ms": 0}
        )  # fmt: skip
        database["dependency_marks"].insert_one(
            {"_id": f"{dependent:012d}", "task_id": dependent, "mark_ms": 5, "version": 1, "run_id": first + 1,
             "until_ms": 0, "open": 1, "changed_ms": 1}
        )  # fmt: skip
        cell.restart("scheduler")
        for run_id in (first, first + 1):
            assert cell.await_run(run_id).status == runs_pb2.RUN_STATUS_COMPLETED
        stores.wait_until(lambda: database["schedule_batches"].find_one({"_id": "dead"}) is None)
        stores.wait_until(lambda: database["dependency_marks"].find_one({"task_id": dependent})["open"] == 0)
    assert [run.spec.run_id for run in runs_of(cell, dependent)] == [first + 1]
    assert first in [run.spec.run_id for run in runs_of(cell, task)]
