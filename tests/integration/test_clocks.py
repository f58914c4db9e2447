"""One clock judges: a service whose machine's clock is wrong takes nothing back, fires nothing early, says so."""

import time
from pathlib import Path

import cell as cells
import stores
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

HOUR = 3_600


def fires(cell: cells.Cell, task_id: int) -> list[tasks_pb2.Fire]:
    """The records of a task's fire times, oldest first."""
    request = tasks_pb2.ListFiresRequest(task_id=task_id, limit=1000)
    return list(cell.tasks.ListFires(request, timeout=60, wait_for_ready=True).fires)[::-1]


def test_schedulers_whose_clocks_are_wrong_fire_on_time_and_leave_healthy_runs_alone(tmp_path: Path) -> None:
    with cells.running_cell(tmp_path, LEASE_SECONDS="6") as cell:
        wrong = [cell.add_scheduler(f"ahead {seconds}", clock_ahead=seconds) for seconds in (HOUR, 20, -20)]
        gate = tmp_path / "gate"
        held = cell.create_task("held", "shell", command=f"until [ -e {gate} ]; do sleep 0.1; done", retry_count=0)
        run_id = cell.start_run(held)
        for scheduler in wrong:
            scheduler.start()
        task = cell.create_task("often", "noop", schedule="* * * * * *")
        # Leases are judged once a scheduler has listened for the length of one.
        stores.wait_until(lambda: len(fires(cell, task)) >= 9, 60)
        now_ms = time.time() * 1000
        times = [fire.fire_ms for fire in fires(cell, task)]
        assert times == list(range(times[0], times[-1] + 1, 1_000))
        assert now_ms - 60_000 < times[0] < times[-1] < now_ms + 1_000
        assert cell.run(run_id).status == runs_pb2.RUN_STATUS_RUNNING
        assert cell.run(run_id).attempt == 1
        gate.touch()
        assert cell.await_run(run_id).status == runs_pb2.RUN_STATUS_COMPLETED
        assert all("this machine's clock" in program.log.read_text() for program in wrong)
