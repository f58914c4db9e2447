"""Sees to it that nothing outlives the command that started it. Must not know what is run.

`run` forks: the parent becomes the guardian, the child does the work. Whatever the child starts, and whatever that
starts, is a descendant of the guardian, which adopts orphans (PR_SET_CHILD_SUBREAPER). So:

- the worker ends, by itself or by kill -9: the guardian kills every descendant that is left;
- the guardian is killed: the kernel tells the worker (PR_SET_PDEATHSIG), which kills its descendants and itself;
- both are killed at once: programs started with `die_with_parent` are killed by the kernel.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_SET_PDEATHSIG = 1
_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36
ORPHANED = signal.SIGUSR1
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def descendants(root: int) -> list[int]:
    """Process ids below `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything: what follows the last one is fixed.
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_descendants(root: int) -> int:
    """Kill everything below `root`, also what starts meanwhile; answers how many there were."""
    killed: set[int] = set()
    while alive := [pid for pid in descendants(root) if pid not in killed]:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(alive)
    return len(killed)


def die_with_parent() -> list[str]:
    """Words to put before a command, so that the kernel kills it when the process that started it dies."""
    setpriv = shutil.which("setpriv", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def is_nohup(number: signal.Signals) -> bool:
    """Whether the signal is a hang-up that nohup made this process ignore.

    Other ignored ones are not: a script's background jobs inherit an ignored SIGINT, and yet it is to stop the stack.
    """
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def run(work: Callable[[], int]) -> int:
    """Do `work` in a child process and answer its exit code; afterwards nothing that it started is left."""
    sys.stdout.flush()
    sys.stderr.flush()
    # It was given the keys: no command of the same user is to read them here.
    _prctl(_SET_DUMPABLE, 0)
    guardian = os.getpid()
    worker = os.fork()
    if worker == 0:
        code = 1
        try:
            code = _work(work, guardian)
        except BaseException:  # noqa: BLE001 - the end of this process: nothing may escape into the guardian's code
            traceback.print_exc()
        finally:
            os._exit(code)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    for number in _FORWARDED:
        if not is_nohup(number):
            signal.signal(number, lambda got, _frame: _tell(worker, got))
    code = _reap_until(worker)
    kill_descendants(guardian)
    return code


def _work(work: Callable[[], int], guardian: int) -> int:
    def orphaned(_signal: int, _frame: object) -> None:
        kill_descendants(os.getpid())
        os._exit(1)

    signal.signal(ORPHANED, orphaned)
    _prctl(_SET_PDEATHSIG, ORPHANED)
    if os.getppid() != guardian:
        return 1
    try:
        return work()
    finally:
        with contextlib.suppress(BrokenPipeError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()


def _tell(worker: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, number)


def _reap_until(worker: int) -> int:
    """Wait for the worker, burying orphans meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
