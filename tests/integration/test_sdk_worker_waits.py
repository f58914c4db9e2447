"""`trawl worker` and the services' comings and goings: where it looks, what it says, and how it stops meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cell as cells
import orjson
import pytest
from stores import wait_until
from trawl import Trawl
from trawl_local.ports import private_ports

TASKS = """
import time
from trawl import task

@task(name="patient")
def patient(ctx, n=1):
    return n

@task(name="endless", retries=1)
def endless(ctx):
    ctx.log("begun")
    while True:
        time.sleep(0.1)
"""
TARGETS = ("SCHEDULER_TARGET", "SCRAPER_TARGET", "REGISTRY_TARGET")


class Waiting:
    """A worker process that looks for its services in a TRAWL_HOME."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, home: Path) -> None:
        self.process, self._log, self.home = process, log, home

    def said(self, what: str, times: int = 1) -> bool:
        """Whether it has said that so often."""
        return self._log.read_text().count(what) >= times

    def lines(self) -> list[str]:
        """All that it has said, without the times."""
        return [line.split(" ", 2)[2] for line in self._log.read_text().splitlines()]

    def show(self, ports: dict[str, int]) -> None:
        """Say where the services are, as a stack that starts does."""
        draft = self.home / "draft"
        draft.write_bytes(orjson.dumps(ports))
        draft.replace(self.home / "ports.json")


@contextmanager
def waiting(tmp_path: Path, *words: str, tasks: str = TASKS, ports: dict[str, int] | None = None) -> Iterator[Waiting]:
    home = tmp_path / "home"
    home.mkdir()
    if ports is not None:
        (home / "ports.json").write_bytes(orjson.dumps(ports))
    (tmp_path / "patient_tasks.py").write_text(tasks)
    environment = {name: value for name, value in os.environ.items() if name not in TARGETS} | {"TRAWL_HOME": str(home)}
    log = tmp_path / "worker.log"
    command = [str(Path(sys.executable).with_name("trawl")), "worker", "patient_tasks", *words]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        yield Waiting(process, log, home)
    finally:
        process.kill()
        process.wait()


def nowhere() -> dict[str, int]:
    """Ports that nobody listens on."""
    return dict(zip(("scheduler", "scraper", "worker-registry"), private_ports(3), strict=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_services_that_never_were_says_where_and_stops_when_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    ports = nowhere()
    with waiting(tmp_path, ports=ports) as worker:
        wait_until(lambda: worker.said("waiting for the services"))
        assert worker.said(f"scheduler 127.0.0.1:{ports['scheduler']}")
        worker.process.send_signal(number)
        assert worker.process.wait(40) == 0
        assert sum("waiting" in line for line in worker.lines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_still_loads_its_module_stops_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Or else the signal would count only when the author's import is done."""
    loading = tmp_path / "loading"
    tasks = f"import pathlib, time\npathlib.Path({str(loading)!r}).touch()\ntime.sleep(1000)\n"
    with waiting(tmp_path, tasks=tasks) as worker:
        wait_until(loading.exists)
        worker.process.send_signal(number)
        assert worker.process.wait(40) == 0


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """A system whose services are found by the ports that it tells."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *cells.ALL, "gateway", LEASE_SECONDS="10") as running:
        yield running


def ports_of(cell: cells.Cell) -> dict[str, int]:
    names = dict(zip(("scheduler", "scraper", "worker-registry"), TARGETS, strict=True))
    return {name: int(cell.shared[variable].rpartition(":")[2]) for name, variable in names.items()}


def test_a_worker_finds_services_that_come_later_go_and_are_elsewhere(cell: cells.Cell, tmp_path: Path) -> None:
    with waiting(tmp_path) as worker, Trawl(cell.api.removesuffix("/api"), cell.api_key) as trawl:
        wait_until(lambda: worker.said("waiting for the services"))
        assert worker.said("is TRAWL_HOME the stack's folder?")
        worker.show(ports_of(cell))
        wait_until(lambda: worker.said("takes runs of"))
        assert trawl.run("patient", {"n": 2}).result(timeout=60) == 2
        worker.show(nowhere())
        wait_until(lambda: worker.said("lost the services"))
        worker.show(ports_of(cell))
        wait_until(lambda: worker.said("the services are back"))
        assert trawl.run("patient", {"n": 3}).result(timeout=60) == 3
        notices = [line for line in worker.lines() if not line.startswith("run ")]
        assert [line.split(" ")[0] for line in notices] == ["waiting", "the", "worker", "the", "lost", "the", "the"]


def test_a_second_signal_ends_the_drain_and_the_run_is_given_back(cell: cells.Cell, tmp_path: Path) -> None:
    with waiting(tmp_path, "--drain-seconds", "900") as worker:
        worker.show(ports_of(cell))
        with Trawl(cell.api.removesuffix("/api"), cell.api_key) as trawl:
            wait_until(lambda: worker.said("takes runs of"))
            run = trawl.run("endless")
            wait_until(lambda: any(line["message"] == "begun" for line in run.logs()))
            worker.process.send_signal(signal.SIGINT)
            wait_until(lambda: worker.said("may go on"))
            worker.process.send_signal(signal.SIGINT)
            assert worker.process.wait(60) == 0
            state = run.state()
            assert (state.status, state.attempt) == ("running", 0)
            wait_until(lambda: run.state().waiting_reason)
            with pytest.raises(TimeoutError, match="no worker offers 'fn-endless'"):
                run.result(timeout=0.1)
            assert run.cancel()


def test_a_stop_without_the_services_waits_for_nobody(cell: cells.Cell, tmp_path: Path) -> None:
    """There is nobody to give a run back to."""
    with waiting(tmp_path, "--drain-seconds", "900") as worker:
        worker.show(ports_of(cell))
        with Trawl(cell.api.removesuffix("/api"), cell.api_key) as trawl:
            wait_until(lambda: worker.said("takes runs of"))
            run = trawl.run("endless")
            wait_until(lambda: any(line["message"] == "begun" for line in run.logs()))
            worker.show(nowhere())
            wait_until(lambda: worker.said("lost the services"))
            worker.process.send_signal(signal.SIGINT)
            assert worker.process.wait(60) == 0
            run.cancel()


def test_a_run_whose_process_still_loads_the_module_is_given_back_as_well(cell: cells.Cell, tmp_path: Path) -> None:
    """It has not begun: the stop costs it no attempt either."""
    slow, loading = tmp_path / "slow", tmp_path / "loading"
    tasks = TASKS.replace('"endless"', '"endless-again"') + (
        f"import pathlib\nif pathlib.Path({str(slow)!r}).exists():\n"
        f"    pathlib.Path({str(loading)!r}).touch()\n    time.sleep(1000)\n"
    )
    with (
        waiting(tmp_path, "--drain-seconds", "900", tasks=tasks, ports=ports_of(cell)) as worker,
        Trawl(cell.api.removesuffix("/api"), cell.api_key) as trawl,
    ):
        wait_until(lambda: worker.said("takes runs of"))
        begun = trawl.run("endless-again")
        wait_until(lambda: any(line["message"] == "begun" for line in begun.logs()))
        slow.touch()
        runs = [begun, trawl.run("endless-again")]
        wait_until(loading.exists)
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: worker.said("may go on"))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0
        assert [(run.state().status, run.state().attempt) for run in runs] == [("running", 0)] * 2
        assert [run.cancel() for run in runs] == [True, True]
