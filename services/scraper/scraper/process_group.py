"""Everything alive of one command. Owns: the order to end, the end, and the proof of it. Must not know executors."""

import asyncio
import re
import shutil
import signal
from pathlib import Path
from time import monotonic, sleep

from chassis.process_tree import MARK, Place, marked_processes, place_of, send, tree

__all__ = ["MARK", "ProcessGroup", "checked_marker", "marked_processes", "reap_leftovers"]
KILL_SECONDS = 0.3
PATIENCE_SECONDS = 0.25


class ProcessGroup:
    """A `Guarded`, and `Graceful`: between TERM and KILL are `grace_seconds`. `mark` is the value of its TRAWL_RUN."""

    def __init__(self, mark: str, folder: Path | None = None, *, grace_seconds: float = 0) -> None:
        self.grace_seconds = grace_seconds
        self._mark, self._folder = mark.encode(), folder
        self._wrapper: asyncio.subprocess.Process | None = None
        self._released = self._asked = self._killed = False
        # What did not end by itself with the command.
        self._left: set[int] = set()

    def started(self, wrapper: asyncio.subprocess.Process) -> None:
        """From now on descendants of `wrapper`, a subreaper, belong to it as well."""
        self._wrapper = wrapper

    def terminate(self) -> None:
        """SIGTERM to all of it, also to what left the command's group; once, whoever asks."""
        found = [] if self._asked else self._find()
        if not found:
            return
        self._asked = True
        wrapper = self._wrapper_pid()
        below = tree(wrapper) if wrapper is not None else {}
        self._left |= _strayed(found, below, wrapper)
        # The wrapper passes it on, and waits for the end of all.
        for pid in found:
            if pid == wrapper or pid not in below:
                send(pid, signal.SIGTERM)

    def kill(self) -> int:
        """Kill all of it, for at most KILL_SECONDS; answers how many processes there were, the wrapper not counted."""
        started = monotonic()
        wrapper = self._wrapper_pid()
        found = self._find()
        left = {pid for pid in found if pid != wrapper}
        self._left |= left
        self._killed = self._killed or bool(left)
        while found and monotonic() < started + KILL_SECONDS:
            for pid in found:
                # The wrapper ends by itself when it has collected the others; only one that hangs is killed.
                patient = pid == wrapper and monotonic() < started + PATIENCE_SECONDS
                send(pid, signal.SIGUSR1 if patient else signal.SIGKILL)
            sleep(0.002)
            found = self._find()
        return len(left)

    def alive(self) -> bool:
        """Whether anything of it is left."""
        return bool(self._find())

    def receipt(self) -> tuple[str, int]:
        """See `Graceful`."""
        return "kill" if self._killed else "term" if self._asked else "cooperative", len(self._left)

    async def release(self) -> None:
        """Remove the command's folder."""
        # Process ids are used again: from here on nothing is ever signalled.
        self._released = True
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _wrapper_pid(self) -> int | None:
        if self._wrapper is None or self._wrapper.returncode is not None:
            return None
        return self._wrapper.pid

    def _find(self) -> list[int]:
        if self._released:
            return []
        wrapper = self._wrapper_pid()
        found = set(marked_processes(self._mark))
        if wrapper is not None:
            found |= {pid for pid, place in tree(wrapper).items() if not place.zombie}
            place = place_of(wrapper)
            if place is not None and not place.zombie:
                found.add(wrapper)
        return sorted(found)


def _strayed(found: list[int], below: dict[int, Place], wrapper: int | None) -> set[int]:
    """Those of `found` that have left the command's session: they would not end with it."""
    children = [(place.started, pid) for pid, place in below.items() if place.parent == wrapper]
    # The oldest child is the command; the others have come to the wrapper by losing their parent.
    session = below[min(children)[1]].session if children else None
    return {pid for pid in found if pid != wrapper and (pid not in below or below[pid].session != session)}


def reap_leftovers(marker: str, *, seconds: float = 5) -> int:
    """Kill every process that an earlier life of this worker left behind; answers how many there were. Blocks.

    To be called before the first run of a process, with a marker that no other living worker uses.
    """
    prefix = f"{checked_marker(marker)}:".encode()
    killed: set[int] = set()
    end = monotonic() + seconds
    while (found := marked_processes(prefix, prefix=True)) and monotonic() < end:
        killed.update(found)
        for pid in found:
            send(pid, signal.SIGKILL)
        sleep(0.005)
    return len(killed)


def checked_marker(marker: str) -> str:
    """`marker`, when it can stand in TRAWL_RUN unambiguously."""
    if not re.fullmatch(r"[\w.-]{1,128}", marker, re.ASCII):
        raise ValueError(f"a worker's marker consists of letters, digits, '_', '.' and '-', not {marker!r}")
    return marker
