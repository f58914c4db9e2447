"""Work on files that may be made to explode. Owns: the process that each piece of it has, and the bounds that the
kernel keeps for it. Must not know PDFs.

A few hundred bytes can ask for days of work and any amount of memory, in one call of a library: nothing that is counted
in Python would end it. Only for processes with a single thread, as they are forked.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Bounds:
    """`memory_mb`: of the heap and all other private memory. `seconds`: processor time of all of it; `step_seconds`:
    between two calls of `begin_step`.
    """

    memory_mb: int
    seconds: float
    step_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `reason`: what went wrong, or "". `seconds`: processor time that it took. `signal`: what ended it;
    0 when it ended by itself.
    """

    seconds: float
    reason: str = ""
    signal: int = 0


def begin_step(bounds: Bounds) -> None:
    """From now on it has its `step_seconds` again. To be called in the work."""
    signal.setitimer(signal.ITIMER_PROF, bounds.step_seconds)


def bounded(work: Callable[[], None], bounds: Bounds) -> Ended:
    """Do it in a process of its own. What it raises is the reason."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _do(work, bounds, writing)
    os.close(writing)
    _, status, used = os.wait4(child, 0)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - no path, but a number
        said = pipe.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    reason = _met(-code, bounds) if code < 0 else said
    return Ended(used.ru_utime + used.ru_stime, reason or f"exit code {code}" if code else "", max(-code, 0))


def _do(work: Callable[[], None], bounds: Bounds, pipe: int) -> None:
    """Never returns, whatever happens."""
    code = 1
    try:
        _bind(bounds)
        work()
        code = 0
    except MemoryError:
        os.write(pipe, _met(0, bounds).encode())
    except Exception as error:  # noqa: BLE001 - the process ends with it
        os.write(pipe, (str(error) or type(error).__name__)[:REASON_CHARACTERS].encode(errors="replace"))
    finally:
        os._exit(code)


def _bind(bounds: Bounds) -> None:
    # Not the address space: allocators reserve more than they ever use.
    _limit(resource.RLIMIT_DATA, bounds.memory_mb * MEGABYTE)
    _limit(resource.RLIMIT_CPU, max(1, round(bounds.seconds)))
    _limit(resource.RLIMIT_CORE, 0)
    # Python ignores none of them, but whoever started it may have.
    for number in (signal.SIGPROF, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    begin_step(bounds)
    # Where memory ends before the bound is met, this ends first, and not the worker.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit(kind: int, value: int) -> None:
    """Lower the soft limit, never above what is allowed."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _met(number: int, bounds: Bounds) -> str:
    """Which bound the signal speaks of."""
    if number == signal.SIGPROF:
        return f"it takes more than {bounds.step_seconds:g} s of processor time"
    if number == signal.SIGXCPU:
        return f"all of it takes more than {bounds.seconds:g} s of processor time"
    # The library ends the process when it gets no memory, in several ways.
    broken = f", or makes the library crash (signal {number})" if number else ""
    return f"it takes more than {bounds.memory_mb} MB of memory{broken}"
