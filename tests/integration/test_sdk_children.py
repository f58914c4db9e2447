"""The processes of tasks in Python: nothing that a run has started outlives it, however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from executor_kit import until
from trawl_sdk.process import ChildProcess, Ended

TASKS = """
import multiprocessing, os, signal, subprocess, sys, time
from trawl import task

helper = subprocess.Popen(["sleep", os.environ["HELPER_SECONDS"]], start_new_session=True)
AWAY = '''
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
    os._exit(0)
os.wait()
'''

@task
def leave(seconds, how, then="return"):
    if how == "orphan":
        subprocess.run([sys.executable, "-c", AWAY, seconds], check=True)
    elif how == "stubborn":
        subprocess.Popen(["sh", "-c", f"trap '' TERM; sleep {seconds}; true"])
    elif how != "nothing":
        subprocess.Popen(["sleep", seconds], start_new_session=how == "session")
    if then == "raise":
        raise ValueError("left one behind")
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "wait":
        print("waiting")
        time.sleep(600)
    return subprocess.run(["true"]).returncode
"""
SECONDS = str(40_000 + os.getpid())


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HELPER_SECONDS", SECONDS + "1")
    path = tmp_path / "leaving.py"
    path.write_text(TASKS)
    return str(path)


def sleepers(seconds: str = SECONDS) -> list[int]:
    """The processes that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


async def run(child: ChildProcess, **params: Any) -> dict[str, Any]:
    """The first message that ends a run, or says that it waits."""
    order = {"do": "run", "task": "leave", "run_id": 1, "attempt": 1, "checkpoint": None}
    child.send({**order, "params": {"seconds": SECONDS, **params}})
    async for message in child.messages():
        if message["say"] == "end" or message.get("message") == "waiting":
            return message
    return {"say": "died"}


@pytest.mark.parametrize("how", ["plain", "session", "orphan"])
@pytest.mark.parametrize("then", ["return", "raise"])
async def test_a_run_that_ends_says_what_it_has_left(target: str, how: str, then: str) -> None:
    child = await ChildProcess.start(target)
    end = await run(child, how=how, then=then)
    assert (end["outcome"], end["left"]) == ("completed" if then == "return" else "failed", 1)
    # And what the module had started counts: it ends with the process, as it should.
    assert await child.end() == Ended("term", 2)
    assert sleepers() == []


async def test_a_run_that_leaves_nothing_can_be_followed_by_another(target: str) -> None:
    """What it has started and awaited is nothing left, nor is what the module has started for all runs."""
    child = await ChildProcess.start(target)
    try:
        for _ in range(2):
            assert (await run(child, how="nothing"))["left"] == 0
            assert len(sleepers(SECONDS + "1")) == 1
    finally:
        await child.end()
    assert sleepers(SECONDS + "1") == []


@pytest.mark.parametrize("how", ["plain", "session", "orphan"])
async def test_a_child_that_is_ended_takes_all_along(target: str, how: str) -> None:
    child = await ChildProcess.start(target)
    assert (await run(child, how=how, then="wait"))["say"] == "log"
    await until(lambda: len(sleepers()) == 1)
    assert await child.end() == Ended("term", 2)
    assert sleepers() == []


async def test_what_ignores_its_end_is_killed_and_counted(target: str) -> None:
    child = await ChildProcess.start(target)
    await run(child, how="stubborn", then="wait")
    await until(lambda: len(sleepers()) == 1)
    assert await child.end() == Ended("kill", 3)
    assert sleepers() == []


@pytest.mark.parametrize("how", ["plain", "session", "orphan"])
async def test_what_is_left_ends_with_a_child_that_dies(target: str, how: str) -> None:
    child = await ChildProcess.start(target)
    assert await run(child, how=how, then="die") == {"say": "died"}
    await child.end()
    assert sleepers() == []


WORKER = """
import asyncio, sys
from trawl_sdk.process import ChildProcess
async def main():
    child = await ChildProcess.start(sys.argv[1])
    params = {"seconds": sys.argv[2], "how": sys.argv[3], "then": "wait"}
    child.send({"do": "run", "task": "leave", "run_id": 1, "attempt": 1, "params": params, "checkpoint": None})
    async for message in child.messages():
        print(message["message"], flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["plain", "session", "orphan", "stubborn"])
async def test_what_is_left_ends_with_a_killed_worker(target: str, how: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, target, SECONDS, how], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    with worker, worker.stdout:
        try:
            assert await asyncio.to_thread(worker.stdout.readline) == b"waiting\n"
            await until(lambda: len(sleepers()) == 1)
        finally:
            worker.send_signal(signal.SIGKILL)
    await until(lambda: sleepers() == [])
    await until(lambda: sleepers(SECONDS + "1") == [])
