"""Commands that are told to stop: who gets TERM, what time they have for it, and what the receipt says."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from executor_kit import RecordingContext, context_of, until
from scraper.attempt import Attempt, Ending, StopReason
from scraper.executors.shell import ShellExecutor
from scraper.process_group import marked_processes
from scraper.processes import CommandRunner
from scraper.run_context import Context

# Longer than any machine needs: whoever is to be killed has its own short one.
PLENTY = 250.0


@pytest.fixture
def marker() -> str:
    return f"test-{os.getpid()}-{os.urandom(4).hex()}"


@pytest.fixture
def shell(tmp_path: Path, marker: str) -> ShellExecutor:
    return ShellExecutor(runner=CommandRunner(worker_id=marker, work_dir=tmp_path / "work", grace_seconds=PLENTY))


class AttemptContext(RecordingContext):
    """What an attempt asks of its context besides."""

    problems = ()

    def result(self, result: Any) -> Any:
        return result

    async def complete(self) -> None:
        return


def attempt_of(shell: ShellExecutor, command: str, **more: Any) -> tuple[Attempt, AttemptContext]:
    context = AttemptContext(context_of(command=command, **more).job)
    return Attempt(shell, cast(Context, context)), context


async def stopped(
    shell: ShellExecutor, command: str, *, reason: StopReason = StopReason.ABORT, **more: Any
) -> tuple[Ending, AttemptContext]:
    """Stop a command once it has said `ready`; nothing of it is left afterwards."""
    attempt, context = attempt_of(shell, command, **more)
    run = asyncio.create_task(attempt.run())
    await until(lambda: "ready" in context.messages())
    attempt.stop(reason)
    return await asyncio.wait_for(run, 60), context


@dataclass(frozen=True)
class Tidier:
    """A program that needs some time to tidy up after TERM. `place`: where it leaves its marks."""

    place: Path

    def command(self, seconds: float = 0.6) -> str:
        script = self.place / "tidier.py"
        script.write_text(
            "import pathlib, signal, sys, time\n"
            "place = pathlib.Path(sys.argv[1])\n"
            "def leave(*_):\n"
            "    (place / 'asked').touch(exist_ok=False)\n"
            "    time.sleep(float(sys.argv[2]))\n"
            "    (place / 'tidy').touch()\n"
            "    print('tidied up', flush=True)\n"
            "    sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, leave)\n"
            "print('ready', flush=True)\n"
            "while True: time.sleep(1)\n"
        )
        return f"{sys.executable} {script} {self.place} {seconds}"

    def marks(self) -> set[str]:
        return {name for name in ("asked", "tidy") if (self.place / name).exists()}


@pytest.fixture
def tidier(tmp_path: Path) -> Tidier:
    place = tmp_path / "marks"
    place.mkdir()
    return Tidier(place)


LINES = {
    "alone": "{}",
    "before another": "{}; touch $TMPDIR/../after; echo after",
    "after another": "cd /; {}",
    "in a pipe": "{} | cat",
    "in the background": "{} & wait",
    "below two shells": "sh -c 'sh -c \"{}; true\"; true'; true",
    "in a session of its own": "setsid {}; true",
    "without a parent": "(setsid {} &) ; sleep 300",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("reason", [StopReason.ABORT, StopReason.TIMEOUT])
async def test_stop_reaches_the_program_wherever_it_is_and_waits_for_it(
    shell: ShellExecutor, marker: str, tidier: Tidier, line: str, reason: StopReason
) -> None:
    """A shell between doesn't shorten the grace. TERM comes once: the program would fail at a second one."""
    ending, context = await stopped(shell, line.format(tidier.command()), reason=reason)
    assert tidier.marks() == {"asked", "tidy"}
    assert ending.outcome == ("aborted" if reason is StopReason.ABORT else "timed_out")
    assert ending.stop is not None
    assert ending.stop.how == "term"
    assert "after" not in context.messages(), "the shell has ended too"
    assert marked_processes(marker.encode(), prefix=True) == []


async def test_stop_keeps_what_is_written_while_tidying_up(shell: ShellExecutor, tidier: Tidier) -> None:
    _, context = await stopped(shell, tidier.command())
    assert context.messages("info") == ["ready", "tidied up"]


async def test_stop_kills_after_the_tasks_own_grace(shell: ShellExecutor, tidier: Tidier) -> None:
    ending, _ = await stopped(shell, tidier.command(seconds=PLENTY), grace_seconds=1)
    assert tidier.marks() == {"asked"}
    assert ending.stop is not None
    assert (ending.stop.how, ending.stop.leftovers) == ("kill", 1)


async def test_stop_counts_everything_that_had_to_be_killed(shell: ShellExecutor) -> None:
    ending, context = await stopped(shell, "trap '' TERM; echo ready; sleep 500; true", grace_seconds=0.2)
    assert ending.stop is not None
    assert (ending.stop.how, ending.stop.leftovers) == ("kill", 2)
    assert "2 processes that would not end were killed" in context.messages("warn")


async def test_stop_of_a_worker_that_ends_is_hurried(shell: ShellExecutor, tidier: Tidier) -> None:
    """The run goes on elsewhere, and the worker has no time: no command's grace is longer than a few seconds."""
    ending, _ = await stopped(shell, tidier.command(seconds=PLENTY), reason=StopReason.DRAIN)
    assert tidier.marks() == {"asked"}
    assert ending.stop is not None
    assert ending.stop.how == "kill"


async def test_stop_of_what_ends_at_once_is_term_as_well(shell: ShellExecutor) -> None:
    ending, _ = await stopped(shell, "echo ready; sleep 500")
    assert ending.stop is not None
    assert (ending.stop.how, ending.stop.leftovers) == ("term", 0)


def runaway(seconds: int) -> str:
    """Leave a sleeper with another session, another parent and an empty environment, and wait until it is."""
    there = f"$TMPDIR/{seconds}"
    return (
        f'(setsid env -i /bin/sh -c "touch {there}; exec sleep {seconds}" &) ; '
        f"until [ -e {there} ]; do sleep 0.02; done; "
    )


@pytest.mark.parametrize("rest", ["echo ready; sleep 500", "exec sh -c 'echo ready; sleep 500'"])
async def test_stop_ends_runaways_and_counts_them(shell: ShellExecutor, rest: str) -> None:
    seconds = 10_000 + os.getpid()
    ending, _ = await stopped(shell, runaway(seconds) + rest)
    assert ending.stop is not None
    assert (ending.stop.how, ending.stop.leftovers) == ("term", 1)
    assert sleepers(seconds) == []


async def test_a_run_that_has_ended_has_no_processes(shell: ShellExecutor) -> None:
    """Also when it ends by itself, and well."""
    seconds = 20_000 + os.getpid()
    attempt, _ = attempt_of(shell, runaway(seconds) + "echo fine")
    ending = await asyncio.wait_for(attempt.run(), 60)
    assert (ending.outcome, ending.result_json) == ("completed", b'"fine\\n"')
    assert sleepers(seconds) == []


def sleepers(seconds: int) -> list[str]:
    """The processes that sleep for so long."""
    words = f"sleep\0{seconds}\0".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if words == _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


PARENT = """
import subprocess, sys, time
from chassis.process_tree import below_subreaper
child = subprocess.Popen(below_subreaper("", *sys.argv[1:]), start_new_session=True)
print(child.pid, flush=True)
time.sleep(500)
"""


async def test_subreaper_ends_all_when_its_parent_dies_while_they_tidy_up() -> None:
    """An order to stop doesn't make it forget whom it belongs to."""
    seconds = 30_000 + os.getpid()
    words = [sys.executable, "-c", PARENT, "sh", "-c", f"trap '' TERM; sleep {seconds}; true"]
    host = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert host.stdout is not None
    with host, host.stdout:
        try:
            child = int(await asyncio.to_thread(host.stdout.readline))
            await until(lambda: sleepers(seconds) != [])
            os.kill(child, signal.SIGTERM)
        finally:
            host.kill()
    await until(lambda: sleepers(seconds) == [])
