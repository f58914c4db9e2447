"""CPU time and memory of running processes, by name. Must not know what the processes are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

# Answers what a process is called in the figures, or "" for its parent's name.
Namer = Callable[[Sequence[str]], str]
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes. `pss_mb` shares out what several processes map; it is the fair sum."""

    rss_mb: float
    pss_mb: float


@dataclass(frozen=True, slots=True)
class Tree:
    """A process by its id, and all below it."""

    pid: int
    name: str
    namer: Namer = lambda _: ""

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """Every process that is alive, with its name. Empty when the root is gone."""
        found: list[tuple[str, psutil.Process]] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            waiting = [(self.name, psutil.Process(self.pid))]
            while waiting:
                inherited, process = waiting.pop()
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    name = self.namer(process.cmdline()) or inherited
                    found.append((name, process))
                    waiting += [(name, child) for child in process.children()]
        return found


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads several trees at once; equal names are added up."""

    trees: Sequence[Tree]

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time since each process began, with that of children that have ended."""
        total: dict[str, float] = {}
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent = times.user + times.system + times.children_user + times.children_system
                total[name] = total.get(name, 0.0) + spent
        return total

    def memory(self) -> dict[str, Memory]:
        """Memory by name. Costs some milliseconds for each process: the kernel walks its pages."""
        total: dict[str, Memory] = {}
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                info = process.memory_full_info()
                before = total.get(name, Memory(0.0, 0.0))
                total[name] = Memory(before.rss_mb + info.rss / MEGABYTE, before.pss_mb + info.pss / MEGABYTE)
        return total

    def rss_mb(self) -> dict[str, float]:
        """Resident megabytes by name: cheap enough to be read while a load runs."""
        total: dict[str, float] = {}
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total[name] = total.get(name, 0.0) + process.memory_info().rss / MEGABYTE
        return total

    def own_mb(self) -> dict[str, float]:
        """Resident megabytes without pages of files, by name: those are the kernel's cache, which it takes back when it
        needs room.
        """
        total: dict[str, float] = {}
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                info = process.memory_info()
                total[name] = total.get(name, 0.0) + (info.rss - info.shared) / MEGABYTE
        return total

    def pids(self) -> dict[str, list[int]]:
        """Process ids by name."""
        found: dict[str, list[int]] = {}
        for name, process in self._processes():
            found.setdefault(name, []).append(process.pid)
        return found

    @staticmethod
    def cpu_seconds_by_thread(pid: int) -> dict[int, float]:
        """User and system time of the process' threads, by the kernel's number."""
        return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        return [pair for tree in self.trees for pair in tree.processes()]


def peak_rss_mb(
    meter: Meter, every_seconds: float = 0.5
) -> contextlib.AbstractAsyncContextManager[Mapping[str, float]]:
    """A mapping that holds the highest resident megabytes seen so far, by name."""
    return peak_mb(meter.rss_mb, every_seconds)


@contextlib.asynccontextmanager
async def peak_mb(read: Callable[[], Mapping[str, float]], every_seconds: float) -> AsyncIterator[Mapping[str, float]]:
    """The same of what `read` reads."""
    peak: dict[str, float] = {}

    async def watch() -> None:
        while True:
            for name, value in read().items():
                peak[name] = max(peak.get(name, 0.0), value)
            await asyncio.sleep(every_seconds)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
