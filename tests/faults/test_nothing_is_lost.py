"""No accepted run is lost, and each ends once: kill -9 of every process in turn, loss of Redis, MongoDB away."""

import threading
import time
from collections.abc import Iterator

import cell as cells
import grpc
import pytest
import stores
from trawl.scheduler.v1 import runs_pb2

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
COMPLETED, RUNNING = runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_RUNNING
END_SECONDS = 120


@pytest.fixture
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """A system of its own for each test, with leases short enough to watch them run out."""
    directory = tmp_path_factory.mktemp("cell")
    with cells.running_cell(directory, LEASE_SECONDS="8", HEARTBEAT_SECONDS="2") as running:
        yield running


class Submitter(threading.Thread):
    """Starts `count` runs of the tasks in turn, and tries again what was refused; `accepted` are those answered."""

    def __init__(self, cell: cells.Cell, tasks: list[int], count: int, pause: float) -> None:
        super().__init__()
        self.cell, self.tasks, self.count, self.pause = cell, tasks, count, pause
        self.accepted: list[int] = []
        self.refused = 0

    def run(self) -> None:
        """Bounded by time: five minutes at most."""
        until = time.monotonic() + 300
        while len(self.accepted) < self.count and time.monotonic() < until:
            try:
                self.accepted.append(self.cell.start_run(self.tasks[len(self.accepted) % len(self.tasks)]))
            except (grpc.RpcError, AssertionError):
                self.refused += 1
            time.sleep(self.pause)


def ends(cell: cells.Cell, run_ids: list[int]) -> dict[int, runs_pb2.Run]:
    """Every run once it has ended, and proof that none changes afterwards."""
    ended = {run_id: cell.await_run(run_id, seconds=END_SECONDS) for run_id in run_ids}
    for run_id, run in ended.items():
        again = cell.run(run_id)
        assert (again.status, again.attempt, again.completed_ms) == (run.status, run.attempt, run.completed_ms)
    return ended


def completed_total(cell: cells.Cell) -> int:
    """How many runs the list of completed ones has."""
    request = runs_pb2.ListRunsRequest(status=COMPLETED, limit=1)
    return int(cell.runs.ListRuns(request, timeout=60, wait_for_ready=True).total)


def check_all_completed_once(cell: cells.Cell, run_ids: list[int]) -> None:
    """None lost, none failed, each archived once."""
    ended = ends(cell, run_ids)
    assert {run.status for run in ended.values()} == {COMPLETED}, [
        (run.spec.run_id, run.status, run.error_message) for run in ended.values() if run.status != COMPLETED
    ]
    assert len(set(run_ids)) == len(run_ids)
    # A run that Redis says is completed may still be on its way to the archive.
    stores.wait_until(lambda: completed_total(cell) >= len(run_ids))


def test_500_runs_survive_kill_9_of_each_process_in_turn(cell: cells.Cell) -> None:
    """Every process is killed while runs are submitted and done; in the end all are completed, each once."""
    tasks = [
        *[cell.create_task(f"noop-{number}", "noop", retry_count=20) for number in range(4)],
        cell.create_task("echo", "shell", command="echo done", retry_count=20),
    ]
    submitter = Submitter(cell, tasks, 500, pause=0.02)
    submitter.start()
    for name in ("scraper", "scheduler", "nats", "redis", "mongodb", "registry", "scraper", "scheduler"):
        time.sleep(1.0)
        cell.restart(name)
    submitter.join(300)
    assert len(submitter.accepted) == 500
    check_all_completed_once(cell, submitter.accepted)


def test_everything_killed_at_once_comes_back(cell: cells.Cell) -> None:
    tasks = [cell.create_task("sleeps", "shell", command="sleep 0.2", retry_count=20)]
    accepted = [cell.start_run(tasks[0]) for _ in range(40)]
    for name in cells.ALL:
        cell.programs[name].kill()
    cell.start()
    check_all_completed_once(cell, accepted)


def test_the_loss_of_all_of_redis_loses_no_run(cell: cells.Cell) -> None:
    """Running, waiting and parked runs all go on after Redis has come back empty."""
    sleeps = cell.create_task("sleeps", "shell", command="sleep 2", retry_count=20)
    flag = cell.directory / "flag"
    fails = cell.create_task("fails-once", "shell", command=f"test -e {flag}", retry_count=50)
    running = [cell.start_run(sleeps) for _ in range(6)]
    parked = cell.start_run(fails)
    waiting = [cell.start_run(sleeps) for _ in range(20)]
    cell.await_run(running[0], RUNNING)
    cell.programs["redis"].wipe()  # type: ignore[attr-defined]
    flag.touch()
    check_all_completed_once(cell, [*running, parked, *waiting])


def test_runs_go_on_when_mongodb_was_away(cell: cells.Cell) -> None:
    task = cell.create_task("noop", "noop", retry_count=20)
    before = [cell.start_run(task) for _ in range(20)]
    cell.programs["mongodb"].kill()
    during = []
    for _ in range(20):
        try:
            during.append(cell.start_run(task))
        except (grpc.RpcError, AssertionError):
            continue
    time.sleep(5)
    cell.programs["mongodb"].start()
    check_all_completed_once(cell, before + during)


def test_a_dead_workers_runs_are_done_by_the_next_one(cell: cells.Cell) -> None:
    """The scraper dies holding runs; they go back at once when its successor registers, and count an attempt."""
    marker = cell.directory / "started"
    task = cell.create_task("long", "shell", command=f"echo x >> {marker}; test $(wc -l < {marker}) -gt 3 || sleep 60")
    runs = [cell.start_run(task) for _ in range(3)]
    stores.wait_until(lambda: marker.exists() and len(marker.read_text().split()) == 3)
    cell.restart("scraper")
    ended = ends(cell, runs)
    assert {(run.status, run.attempt) for run in ended.values()} == {(COMPLETED, 2)}


def test_a_frozen_workers_late_report_is_refused(cell: cells.Cell) -> None:
    """A worker that hangs past its lease loses its run to another; what it says afterwards changes nothing."""
    second = dict(cell.programs["scraper"].environment)
    marker = cell.directory / "who"
    task = cell.create_task("who", "shell", command=f"echo $$ >> {marker}; sleep 3; echo finished")
    run_id = cell.start_run(task)
    stores.wait_until(lambda: marker.exists() and len(marker.read_text().split()) == 1)
    cell.programs["scraper"].pause()
    port = stores.free_port()
    second |= {"WORKER_ID": "worker-002", "GRPC_PORT": str(port), "WORK_DIR": str(cell.directory / "work2")}
    other = stores.service("scraper", cell.directory / "scraper2", second, port)
    try:
        other.start()
        run = cell.await_run(run_id, seconds=60)
        assert (run.status, run.attempt, run.worker_id) == (COMPLETED, 2, "worker-002")
        cell.programs["scraper"].resume()

        # Its command has ended meanwhile: its report or its end comes now, and is refused.
        def refused() -> bool:
            return (
                "late report refused" in cell.programs["scheduler"].log.read_text()
                or "the lease of a run was lost" in cell.programs["scraper"].log.read_text()
            )

        stores.wait_until(refused)
        again = cell.run(run_id)
        assert (again.attempt, again.worker_id, again.completed_ms) == (2, "worker-002", run.completed_ms)
    finally:
        other.kill()
