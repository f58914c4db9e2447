"""Browser runs through kills of Chromium and of the scraper: none lost, none doubled, nothing left behind."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cell as cells
import psutil
import pytest
import stores
from scraper.processes import CommandRunner
from trawl.scheduler.v1 import runs_pb2

# Raise it for a longer test: TRAWL_FAULT_RUNS=200.
RUNS = int(os.environ.get("TRAWL_FAULT_RUNS", "20"))
pytestmark = [pytest.mark.faults, pytest.mark.timeout(max(1200, 20 * RUNS))]
SEED = int(os.environ.get("TRAWL_FAULT_SEED", "7"))
PROGRESS_SECONDS = 90
PAGE = "<title>p</title>" + "".join(f"<li class=item>{number}</li>" for number in range(10))
PARAMETERS = (
    b'{"BASE_URL": "%s", "screenshots": "never", "steps": ['
    b'{"type": "extract", "name": "n", "list": true, "target": {"css": "li.item"}},'
    b'{"type": "wait_for", "timeMs": 100},'
    b'{"type": "extract", "name": "m", "list": true, "target": {"css": "li.item"}}]}'
)


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(PAGE.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def chromiums(directory: Path) -> list[psutil.Process]:
    """The main processes of this cell's browsers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if f"user-data-dir={directory}" in line and "--type=" not in line:
                found.append(process)
    return found


def left_over(directory: Path) -> list[str]:
    """Every process of this cell's browsers and of what drives them, renderers and crash handlers too."""
    marker = CommandRunner(worker_id="worker-001", work_dir=directory / "work").marker
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment, line = process.environ(), " ".join(process.cmdline())
            of_cell = environment.get("WORK_DIR") == str(directory / "work") and "playwright" in line
            if environment.get("TRAWL_BROWSER") == marker or of_cell:
                found.append(line)
    return found


def profiles(directory: Path) -> list[Path]:
    return list((directory / "work" / "browsers").glob("*"))


def test_browser_runs_outlive_kills_and_leave_nothing_behind(
    tmp_path_factory: pytest.TempPathFactory, site: str
) -> None:
    chance = random.Random(SEED)
    directory = tmp_path_factory.mktemp("cell")
    with cells.running_cell(directory, LEASE_SECONDS="8", HEARTBEAT_SECONDS="2", BROWSER_SLOTS="3") as cell:
        task = cell.create_task("pages", "rpa", parameters=PARAMETERS % site.encode(), retry_count=30)
        warm = cell.await_run(cell.start_run(task), seconds=60)
        assert warm.status == runs_pb2.RUN_STATUS_COMPLETED
        before = resident(cell)
        run_ids = [cell.start_run(task) for _ in range(RUNS)]
        kills = restarts = 0
        going = set(run_ids)
        while going:
            # Some must have ended since the last kill: on a slow machine kills by the clock would let none end.
            await_ended(cell, going, max(len(going) - chance.randint(1, 3), 0))
            time.sleep(chance.uniform(0, 0.5))
            if kills % 5 == 4:
                cell.restart("scraper")
                cell.programs["scraper"].wait_ready()
                restarts += 1
            for victim in chromiums(directory)[:1]:
                with contextlib.suppress(psutil.Error):
                    victim.send_signal(signal.SIGKILL)
            kills += 1
        ended = [cell.await_run(run_id) for run_id in run_ids]
        assert [run.status for run in ended] == [runs_pb2.RUN_STATUS_COMPLETED] * RUNS
        attempts = sum(run.attempt for run in ended)
        for run in ended:
            assert [item.position for item in cell.items(run.spec.run_id)] == list(range(20)), "each item once"
        growth = resident(cell) - before
        print(f"{RUNS} runs, {attempts} attempts, {kills} kills, {restarts} restarts, {growth / 2**20:+.0f} MB")
        assert growth < 200 * 2**20
        stores.wait_until(lambda: len(chromiums(directory)) <= 1)
        assert cell.await_run(cell.start_run(task), seconds=60).status == runs_pb2.RUN_STATUS_COMPLETED
        assert left_over(directory), "the check sees the browser that now waits for more"
        cell.programs["scraper"].stop()
        stores.wait_until(lambda: left_over(directory) == [])
        assert profiles(directory) == []


def await_ended(cell: cells.Cell, going: set[int], left: int) -> None:
    """Take the runs that have ended out of `going`, until there are at most so many `left`."""
    until = time.monotonic() + PROGRESS_SECONDS
    while True:
        going -= {run_id for run_id in going if cell.run(run_id).status in cells.TERMINAL}
        if len(going) <= left:
            return
        assert time.monotonic() < until, [str(cell.run(run_id)) for run_id in going]
        time.sleep(0.2)


def resident(cell: cells.Cell) -> int:
    """Resident memory of the scraper, in bytes."""
    process = cell.programs["scraper"].process
    assert process is not None
    return int(psutil.Process(process.pid).memory_info().rss)
