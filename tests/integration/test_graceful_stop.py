"""A worker that is told to stop: its runs go on elsewhere, unharmed and once."""

import signal
from pathlib import Path

import cell as cells
import pytest
import stores
from trawl.scheduler.v1 import runs_pb2


@pytest.mark.parametrize("away", ["nobody", "scheduler"])
def test_a_stopped_workers_run_goes_on_elsewhere_and_no_attempt_is_used_up(tmp_path: Path, away: str) -> None:
    with cells.running_cell(tmp_path, DRAIN_SECONDS="0.2") as cell:
        said, gate = tmp_path / "said", tmp_path / "gate"
        wait = f"echo begun >> {said}; until [ -e {gate} ]; do sleep 0.1; done; echo done >> {said}"
        run_id = cell.start_run(cell.create_task("held", "shell", command=wait, retry_count=0))
        stores.wait_until(said.exists, 60)
        if away == "scheduler":  # as in a rollout: then nobody takes the run back from the worker
            cell.programs["scheduler"].kill()
        cell.programs["scraper"].kill(signal.SIGTERM)
        if away == "scheduler":
            cell.programs["scheduler"].start()
        cell.await_run(run_id, runs_pb2.RUN_STATUS_PENDING)
        gate.touch()
        cell.programs["scraper"].start()
        run = cell.await_run(run_id)
        assert (run.status, run.attempt) == (runs_pb2.RUN_STATUS_COMPLETED, 1)
        assert said.read_text().split().count("done") == 1
