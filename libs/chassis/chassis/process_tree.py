"""Who belongs to whom among the processes of this machine, and commands below `subreaper`. Must not know who runs them.

Every command carries the environment variable TRAWL_RUN. What belongs to a command is what descends from it or carries
that variable with its value, so that neither leaving the session nor losing the parent hides a process.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

from chassis import subreaper
from chassis.subreaper import Place, place_of, tree

__all__ = ["MARK", "Place", "below_subreaper", "marked_processes", "place_of", "send", "tree"]
MARK = "TRAWL_RUN"


def below_subreaper(limits: str, program: str, *arguments: str, hidden: Iterable[str] = ()) -> list[str]:
    """The words that run `program` below a subreaper of this process. `limits`: as `subreaper` takes them. `hidden`:
    paths that are empty for it, where this process is root.
    """
    return [sys.executable, "-I", "-S", _subreaper(), str(os.getpid()), limits, ":".join(hidden), program, *arguments]


@cache
def _subreaper() -> str:
    """The script, compiled where that is what its source says now: it would be compiled anew at each start."""
    source, compiled = Path(subreaper.__file__), Path(cache_from_source(subreaper.__file__))
    state = source.stat()
    wanted = MAGIC_NUMBER + struct.pack("<III", 0, int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF)
    with suppress(OSError), compiled.open("rb") as file:
        if file.read(len(wanted)) == wanted:
            return str(compiled)
    return str(source)


def marked_processes(mark: bytes, *, prefix: bool = False) -> list[int]:
    """The living processes whose TRAWL_RUN is `mark` (or starts with it); never this process."""
    wanted = f"{MARK}=".encode() + mark
    own = os.getpid()
    found: list[int] = []
    for name in os.listdir("/proc"):  # noqa: PTH208  # a Path for each process costs more than the rest
        if not name.isdecimal() or int(name) == own:
            continue
        try:
            with open(f"/proc/{name}/environ", "rb", buffering=0) as file:  # noqa: PTH123  # same
                environment = file.readall() or b""
        except OSError:
            continue  # It ended, or is another user's.
        if wanted in environment and any(
            entry.startswith(wanted) if prefix else entry == wanted for entry in environment.split(b"\0")
        ):
            found.append(int(name))
    return [pid for pid in found if lives(pid)]


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    place = place_of(pid)
    return place is not None and not place.zombie


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
