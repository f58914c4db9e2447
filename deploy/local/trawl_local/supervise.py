"""Keeps programs running: starts them in order, restarts what dies or no longer works, stops them in order.

Must not know what the programs are. It waits for exits and lines, and asks only programs that have a probe for that.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trawl_local.child import Child, describe_exit
from trawl_local.errors import Refusal
from trawl_local.readiness import Probe, always, wait_until


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. It starts when all of `needs` are ready; those with the lowest `stop_order` are stopped first. One
    that has been ready and is not `well` any more is killed, and started again.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    ready: Probe = always
    needs: tuple[str, ...] = ()
    stop_order: int = 0
    well: Probe | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    first_delay: float = 0.2
    longest_delay: float = 5.0
    # A program that stayed ready this long starts with the first delay again.
    healthy_after: float = 60.0
    # A program that ends this often before it was ever ready is given up, and the start with it.
    start_attempts: int = 4
    start: float = 60.0
    stop: float = 10.0
    # Programs are asked this often whether they are well, and killed after so many answers that they are not.
    between_looks: float = 5.0
    looks: int = 3


@dataclass(slots=True)
class _Kept:
    """A program and what became of it."""

    program: Program
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ready_since: float | None = None
    child: Child | None = None
    starts: int = 0
    last_line: str = ""


class Supervisor:
    """Runs `programs` until `stop`.

    `on_line(program, line)` gets what they write, `on_event(program, level, text)` what happens to them.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        on_line: Callable[[str, str], None],
        on_event: Callable[[str, str, str], None],
        patience: Patience | None = None,
    ) -> None:
        self._kept = {program.name: _Kept(program) for program in programs}
        self._on_line, self._on_event = on_line, on_event
        self._patience = patience or Patience()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs now."""
        return {name: kept.child.pid for name, kept in self._kept.items() if kept.child}

    @property
    def starts(self) -> dict[str, int]:
        """How often each program was started."""
        return {name: kept.starts for name, kept in self._kept.items()}

    async def start(self) -> None:
        """Return when every program is ready. Raises `Refusal` when one can't be; call `stop` in any case."""
        self._failure = asyncio.get_running_loop().create_future()
        for kept in self._kept.values():
            self._tasks.add(asyncio.create_task(self._keep(kept), name=kept.program.name))
        ready = asyncio.create_task(self._all_ready())
        waiting: set[asyncio.Future[None]] = {ready, self._failure}
        try:
            await asyncio.wait(waiting, timeout=self._patience.start, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return
        finally:
            ready.cancel()
        if self._failure.done():
            self._failure.result()
        late = next(kept for kept in self._kept.values() if not kept.ready.is_set() and kept.starts)
        raise Refusal(_with_last_line(f"{late.program.name} is not ready after {self._patience.start:.0f} s", late))

    async def _all_ready(self) -> None:
        for kept in self._kept.values():
            await kept.ready.wait()

    async def stop(self) -> None:
        """Stop all programs in order; afterwards none of them runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for order in sorted({kept.program.stop_order for kept in self._kept.values()}):
            await asyncio.gather(*(self._end(kept) for kept in self._kept.values() if kept.program.stop_order == order))

    async def _end(self, kept: _Kept) -> None:
        if kept.child is None:
            return
        how = await kept.child.stop(self._patience.stop)
        if how == "KILL":
            self._on_event(kept.program.name, "warning", f"did not stop in {self._patience.stop:.0f} s and was killed")
        kept.child = None

    async def _keep(self, kept: _Kept) -> None:
        """Run the program again and again."""
        for name in kept.program.needs:
            await self._kept[name].ready.wait()
        delay = self._patience.first_delay
        while await self._once(kept):
            if self._was_healthy(kept):
                delay = self._patience.first_delay
            self._on_event(kept.program.name, "info", f"starting again in {delay:.1f} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._patience.longest_delay)

    async def _once(self, kept: _Kept) -> bool:
        """Run the program to its end; False when it is given up."""
        program = kept.program

        def on_line(line: str) -> None:
            kept.last_line = line
            self._on_line(program.name, line)

        kept.starts += 1
        kept.ready_since = None
        try:
            kept.child = Child(
                program.command, environment=program.environment, directory=program.directory, on_line=on_line
            )
        except OSError as error:
            return self._ended(kept, f"can't be started ({error.strerror})")
        probing = asyncio.create_task(self._look_after(kept, kept.child))
        try:
            code = await kept.child.finish()
        finally:
            probing.cancel()
        kept.child = None
        return self._ended(kept, f"ended with {describe_exit(code)}")

    async def _look_after(self, kept: _Kept, child: Child) -> None:
        await wait_until(kept.program.ready)
        kept.ready_since = asyncio.get_running_loop().time()
        kept.ready.set()
        if kept.starts > 1:
            self._on_event(kept.program.name, "info", "is ready again")
        if kept.program.well is not None:
            await self._until_unwell(kept.program.well)
            self._on_event(kept.program.name, "error", "runs and does not work: it is killed")
            child.kill()

    async def _until_unwell(self, well: Probe) -> None:
        unwell = 0
        while unwell < self._patience.looks:
            await asyncio.sleep(self._patience.between_looks)
            unwell = 0 if await well() else unwell + 1

    def _ended(self, kept: _Kept, what: str) -> bool:
        self._on_event(kept.program.name, "error", what)
        if kept.ready.is_set() or kept.starts < self._patience.start_attempts:
            return True
        if self._failure and not self._failure.done():
            self._failure.set_exception(Refusal(_with_last_line(f"{kept.program.name} {what}", kept)))
        return False

    def _was_healthy(self, kept: _Kept) -> bool:
        since = kept.ready_since
        return since is not None and asyncio.get_running_loop().time() - since >= self._patience.healthy_after


def _with_last_line(sentence: str, kept: _Kept) -> str:
    return f"{sentence}; it last said: {kept.last_line[:300]}" if kept.last_line else f"{sentence}."
