"""Tasks in Python through real processes: `trawl worker` on a file outside of the project, and both clients."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cell as cells
import psutil
import pytest
from stores import wait_until
from trawl import AsyncTrawl, RunCancelled, RunFailed, Trawl, TrawlError, task
from trawl.scheduler.v1 import runs_pb2

ROOT = Path(__file__).parents[2]
TASKS = """
import os, subprocess, sys, time
from pathlib import Path
from trawl import App, PermanentFailure, task

def wait_for(path, ctx):
    while not Path(path).exists():
        ctx.sleep(0.02)

@task(name="count")
def count(ctx, upto=3):
    for number in range((ctx.checkpoint.state or 0) + 1, upto + 1):
        ctx.log(f"counted {number}", number=number)
        ctx.progress(number, upto, "counting")
        ctx.emit({"number": number})
        ctx.checkpoint(number)
        if number == 2 and ctx.attempt == 1 and "fail" in ctx.params:
            raise RuntimeError("interrupted")
    return {"counted": upto, "attempt": ctx.attempt}

@task(name="interrupted", retries=3, retry_delay=0.1)
def interrupted(ctx, upto, fail=True):
    return count(ctx, upto)

@task(name="gate", retries=1)
def gate(ctx, path, mark):
    ctx.log("waiting", pid=os.getpid())
    Path(mark).open("a").write(f"{ctx.attempt} {os.getpid()}\\n")
    wait_for(path, ctx)
    return ctx.attempt

@task(name="stubborn", timeout=2)
def stubborn(ctx, mark, whole=False):
    child = subprocess.Popen(["sleep", "600"])
    Path(mark).write_text(f"{os.getpid()} {child.pid}")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            if whole: raise

@task(name="stubborn-for-long")
def stubborn_for_long(ctx, mark):
    stubborn.function(ctx, mark)

@task(name="divide", retries=5)
def divide(dividend, divisor):
    if divisor == 0:
        raise PermanentFailure("by zero")
    print("dividing")
    return dividend / divisor

@task(name="vanish", retries=0)
def vanish():
    os._exit(7)

@task(name="not json")
def not_json():
    return object()

@task(name="gather")
async def gather(ctx, n):
    import asyncio
    await ctx.emit({"n": n}, key="one")
    await ctx.checkpoint({"n": n})
    return sum(await asyncio.gather(*[asyncio.sleep(0.01, i) for i in range(n)]))

@task(name="sleep-async")
async def sleep_async(ctx, mark):
    Path(mark).write_text(str(os.getpid()))
    try:
        await ctx.sleep(600)
    finally:
        ctx_closed = Path(mark + ".closed")
        ctx_closed.write_text("yes")

app = App(count, interrupted, gate, stubborn, stubborn_for_long, divide, vanish, not_json, gather, sleep_async)
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module; leases run out after ten seconds."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *cells.ALL, "gateway", LEASE_SECONDS="10") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the author's file is."""
    place = tmp_path_factory.mktemp("author")
    (place / "my_tasks.py").write_text(TASKS)
    return place


@contextmanager
def working(
    cell: cells.Cell, folder: Path, target: str = "my_tasks:app", *words: str
) -> Iterator[subprocess.Popen[str]]:
    """A worker process that has registered; killed afterwards, if it still lives."""
    command = [str(Path(sys.executable).with_name("trawl")), "worker", target, *words]
    environment = os.environ | cell.shared | {"TRAWL_HOME": str(folder / "none")}
    with (folder / f"worker-{time.monotonic_ns()}.log").open("w+") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=out, stdout=out, text=True)
        try:
            wait_until(lambda: "takes runs of" in Path(out.name).read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def worker(cell: cells.Cell, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One worker for the tests that don't harm it."""
    with working(cell, folder, "my_tasks:app", "--id", "author") as process:
        assert process.poll() is None
        yield process


@pytest.fixture
def trawl(cell: cells.Cell) -> Iterator[Trawl]:
    """A client."""
    with Trawl(cell.api.removesuffix("/api"), cell.api_key) as client:
        yield client


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def text_of(path: Path) -> str:
    """What is in the file, when it is there."""
    return path.read_text() if path.exists() else ""


def test_a_function_is_run_by_name_with_its_logs_progress_and_items(worker: object, trawl: Trawl) -> None:
    run = trawl.run("count", {"upto": 4})
    assert run.result(timeout=40) == {"counted": 4, "attempt": 1}
    state = run.state()
    assert (state.status, state.task_name, state.progress) == (
        "completed", "count", {"done": 4, "total": 4, "step": None})  # fmt: skip
    lines = [(line["message"], line.get("data")) for line in run.logs()]
    assert lines[1:] == [(f"counted {number}", {"number": number}) for number in range(1, 5)]
    assert [item["number"] for item in run.items()] == [1, 2, 3, 4]


def test_a_typed_client_takes_the_task_itself(worker: object, trawl: Trawl) -> None:
    @task(name="divide")
    def divide(dividend: float, divisor: float) -> float:
        return dividend / divisor

    quotient: float = trawl.run(divide, {"dividend": 6, "divisor": 3}).result(timeout=40)
    assert quotient == 2
    assert divide(8, 2) == 4


async def test_the_async_client_does_the_same(worker: object, cell: cells.Cell) -> None:
    async with AsyncTrawl(cell.management, prefix="") as client:
        runs = await asyncio.gather(*(client.run("gather", {"n": n}) for n in range(5)))
        assert await asyncio.gather(*(run.result(timeout=40) for run in runs)) == [0, 0, 1, 3, 6]
        with pytest.raises(RunFailed, match="by zero"):
            await (await client.run("divide", {"dividend": 1, "divisor": 0})).result(timeout=40)


def test_what_is_printed_is_a_log_line(worker: object, trawl: Trawl) -> None:
    run = trawl.run("divide", {"dividend": 1, "divisor": 2})
    assert run.result(timeout=40) == 0.5
    assert [line["message"] for line in run.logs()][1:] == ["dividing"]


def test_a_retry_goes_on_from_the_checkpoint_and_items_are_there_once(worker: object, trawl: Trawl) -> None:
    run = trawl.run("interrupted", {"upto": 4, "fail": True})
    assert run.result(timeout=40) == {"counted": 4, "attempt": 2}
    assert [item["number"] for item in run.items()] == [1, 2, 3, 4]
    messages = [line["message"] for line in run.logs()]
    assert [text for text in messages if text.startswith("counted")] == [f"counted {n}" for n in range(1, 5)]
    assert any("RuntimeError: interrupted" in text for text in messages)


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        ("divide", {"dividend": 1, "divisor": 0}, "PERMANENT_FAILURE"),
        ("divide", {"dividend": 1}, "INVALID_PARAMETERS"),
        ("divide", {"dividend": 1, "divisor": 1, "more": 1}, "INVALID_PARAMETERS"),
        ("not json", {}, "INVALID_RESULT"),
        ("vanish", {}, "PROCESS_DIED"),
    ],
)
def test_what_can_not_get_better_fails_at_once_with_a_reason(
    worker: object, trawl: Trawl, name: str, params: Any, code: str
) -> None:
    run = trawl.run(name, params)
    with pytest.raises(RunFailed) as caught:
        run.result(timeout=40)
    assert caught.value.code == code
    assert run.state().attempt == 1


def test_unknown_tasks_and_wrong_keys_are_errors_of_the_client(worker: object, cell: cells.Cell, trawl: Trawl) -> None:
    with pytest.raises(TrawlError) as caught:
        trawl.run("nobody")
    assert caught.value.status == 404
    with Trawl(cell.api.removesuffix("/api"), "trawl_wrong") as stranger, pytest.raises(TrawlError) as caught:
        stranger.run("count")
    assert caught.value.status == 401


def test_a_function_that_cooperates_is_cancelled_where_it_waits(worker: object, trawl: Trawl, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run = trawl.run("sleep-async", {"mark": str(mark)})
    wait_until(lambda: text_of(mark))
    assert run.cancel() is True
    with pytest.raises(RunCancelled):
        run.result(timeout=40)
    assert text_of(tmp_path / "mark.closed") == "yes"
    assert run.cancel() is False


def test_a_function_that_ignores_its_cancellation_is_killed_with_all_it_started(
    worker: object, trawl: Trawl, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    run = trawl.run("stubborn-for-long", {"mark": str(mark)})
    wait_until(lambda: text_of(mark))
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=40)
    assert not [pid for pid in map(int, text_of(mark).split()) if alive(pid)]


def test_a_function_that_runs_out_of_time_is_killed_and_fails(worker: object, trawl: Trawl, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(RunFailed, match="timed out after 2 s") as caught:
        trawl.run("stubborn", {"mark": str(mark)}).result(timeout=40)
    assert caught.value.code == "TIMED_OUT"
    assert not [pid for pid in map(int, text_of(mark).split()) if alive(pid)]


def test_a_running_function_is_seen_live_on_the_management_port(worker: object, trawl: Trawl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = trawl.run("gate", {"path": str(gate), "mark": str(tmp_path / "mark")})
    wait_until(lambda: [line for line in run.logs() if line["message"] == "waiting"])
    (listed,) = [e for e in trawl.send(_running("gate")) if e["executionId"] == run.execution_id]
    assert (listed["status"], listed["logs"][1]["message"]) == ("running", "waiting")
    # A worker's executions are those of its last heartbeat, which may still name the run before.
    (seen,) = wait_until(lambda: [w for w in trawl.send(_workers()) if run.execution_id in w["currentExecutions"]])
    assert seen["workerId"] == "author"
    assert "fn-gate" in seen["taskTypes"]
    gate.touch()
    assert run.result(timeout=40) == 1


def _running(name: str) -> Any:
    from trawl_sdk.client import Request

    return Request("GET", f"/tasks/running/{name}")


def _workers() -> Any:
    from trawl_sdk.client import Request

    return Request("GET", "/workers")


def test_a_run_whose_worker_is_killed_is_done_by_another(cell: cells.Cell, trawl: Trawl, tmp_path: Path) -> None:
    author = tmp_path / "author"
    author.mkdir()
    (author / "doomed.py").write_text(TASKS.replace('name="gate"', 'name="doomed-gate"'))
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    with working(cell, author, "doomed:gate") as first:
        run = trawl.run("doomed-gate", {"path": str(gate), "mark": str(mark)})
        wait_until(lambda: text_of(mark))
        first.kill()
        child = int(text_of(mark).split()[1])
        wait_until(lambda: not alive(child))
        with working(cell, author, "doomed:gate"):
            wait_until(lambda: len(text_of(mark).splitlines()) == 2)
            gate.touch()
            assert run.result(timeout=40) == 2


def test_a_worker_that_is_told_to_stop_gives_back_what_does_not_end(
    cell: cells.Cell, trawl: Trawl, tmp_path: Path
) -> None:
    author = tmp_path / "author"
    author.mkdir()
    (author / "draining.py").write_text(TASKS.replace('name="gate"', 'name="draining-gate"'))
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    with working(cell, author, "draining.py:gate", "--drain-seconds", "0.5") as first:
        run = trawl.run("draining-gate", {"path": str(gate), "mark": str(mark)})
        wait_until(lambda: text_of(mark))
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 0
        state = run.state()
        assert (state.status, state.attempt) == ("running", 0)
        assert cell.run(state.run_id).status == runs_pb2.RUN_STATUS_PENDING
        with working(cell, author, "draining.py:gate"):
            gate.touch()
            assert run.result(timeout=40) == 1


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("from trawl import task\n@task(name='python-worker-clash')\ndef f(): ...", "rename one of them"),
    ],
)
def test_a_module_that_can_not_be_used_ends_the_worker_with_one_sentence(
    cell: cells.Cell, tmp_path: Path, source: str, why: str
) -> None:
    if "clash" in source and "clash" not in {t.name.rpartition("-")[2] for t in tasks_of(cell)}:
        cell.create_task("python-worker-clash", "noop")
    (tmp_path / "unusable.py").write_text(textwrap.dedent(source))
    with working(cell, tmp_path, "unusable") as process:
        assert process.wait(40) == 1
    (log,) = tmp_path.glob("worker-*.log")
    assert why in log.read_text()
    assert "Traceback" not in log.read_text()


def tasks_of(cell: cells.Cell) -> Any:
    """Every task."""
    from trawl.scheduler.v1 import tasks_pb2

    return cell.tasks.ListTasks(tasks_pb2.ListTasksRequest(limit=100), timeout=60).tasks


def test_messages_and_sdk_share_the_name_trawl() -> None:
    """Importing the messages loads none of the SDK."""
    script = "import sys, trawl.scheduler.v1.runs_pb2; assert 'trawl_sdk' not in sys.modules; from trawl import Trawl"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
