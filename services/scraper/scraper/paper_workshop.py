"""Heavy work on papers in child processes. Owns: their command, their files, and what they say of their progress.

A child (`paper_child.py`) reads one file of JSON lines and writes another; a line `progress <done> <total>` on its
standard output is the run's progress. It belongs to the attempt's process group, so that an abort kills it however busy
it is. Must not know what the work is.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from scraper.executor import ExecutorError, Guarded, Item, Job, Json, RunContext
from scraper.processes import Command, CommandRunner

PROGRESS = "progress "
DETAIL_CHARACTERS = 300
# A child has nothing to tidy up.
GRACE_SECONDS = 0.3


class _Guard:
    """What the supervisor is to end: the child of the moment. One for each bench, however many children it has."""

    def __init__(self) -> None:
        self._groups: list[Guarded] = []

    def add(self, what: Guarded) -> None:
        """From now on this belongs to it."""
        self._groups.append(what)

    def terminate(self) -> None:
        """See `Guarded`."""
        for group in self._groups:
            group.terminate()

    def kill(self) -> int:
        """See `Guarded`."""
        return sum(group.kill() for group in self._groups)

    def alive(self) -> bool:
        """See `Guarded`."""
        return any(group.alive() for group in self._groups)

    async def release(self) -> None:
        """See `Guarded`; also between two children."""
        groups, self._groups = self._groups, []
        for group in groups:
            await group.release()


class _ChildContext:
    """The run's context as the runner of a child needs it: progress is understood, parameters stay at home."""

    def __init__(self, context: RunContext, guard: _Guard, on_progress: Callable[[int, int], None]) -> None:
        job = context.job
        self._guard = guard
        self.job = Job(job.run_id, job.task_id, job.task_name, job.executor, job.attempt)
        self._context, self._on_progress = context, on_progress

    def log(self, level: str, message: str, **data: Json) -> None:
        """A line of the child."""
        if message.startswith(PROGRESS):
            done, _, total = message.removeprefix(PROGRESS).partition(" ")
            if done.isdecimal() and total.isdecimal():
                self._on_progress(int(done), int(total))
        elif level != "warn":
            self._context.log(level, message, **data)

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        """See `RunContext`."""
        self._context.problem(what, where, message, example=example, count=count)

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:
        """See `RunContext`."""
        self._context.progress(done, total, step)

    async def emit(self, items: "Iterable[Item]") -> None:
        """See `RunContext`."""
        await self._context.emit(list(items))

    async def save_checkpoint(self, state: Json) -> None:
        """See `RunContext`."""
        await self._context.save_checkpoint(state)

    def guard(self, what: Guarded) -> None:
        """See `RunContext`."""
        self._guard.add(what)

    async def save_blob(self, name: str, data: bytes, content_type: str, *, replace: bool = False) -> str:
        """See `RunContext`."""
        return await self._context.save_blob(name, data, content_type, replace=replace)


class ChildFailed(ExecutorError):
    """The child ended badly; the message has the end of what it said."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="WORK_FAILED")


class Bench:
    """A folder of one attempt, and the way to have work done in it. One child at a time."""

    def __init__(self, context: RunContext, runner: CommandRunner, folder: Path) -> None:
        self._context, self._runner, self.folder = context, runner, folder
        self._guard = _Guard()
        context.guard(self._guard)

    async def write(self, name: str, pages: AsyncIterator[list[Json]]) -> tuple[Path, int]:
        """(file, lines) with a JSON line for each entry of the pages."""
        path = self.folder / name
        count = 0
        with path.open("wb") as file:
            async for page in pages:
                lines = b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in page)
                await asyncio.to_thread(file.write, lines)
                count += len(page)
        return path, count

    async def work(
        self,
        kind: str,
        *arguments: str,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        variables: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Have it done. Raises ChildFailed, and TimeoutError after `seconds`."""
        command = Command(
            sys.executable, ("-P", "-m", "scraper.paper_child", kind, *arguments), variables, GRACE_SECONDS
        )
        child = _ChildContext(self._context, self._guard, progress)
        try:
            async with asyncio.timeout(seconds):
                finished = await self._runner.run(child, command)
        except TimeoutError:
            self._guard.kill()
            await self._guard.release()
            raise
        # A child that is cut short by an abort is left to the supervisor.
        await self._guard.release()
        if finished.exit_code != 0:
            last = finished.errors.strip().rpartition("\n")[2][:DETAIL_CHARACTERS]
            raise ChildFailed(f"{kind}: {last}" if last else f"{kind} ended with {finished.describe()}")

    def read(self, path: Path) -> list[Json]:
        """The entries of a file that a child wrote. Blocks."""
        with path.open("rb") as file:
            return [orjson.loads(line) for line in file]


class Workshop:
    """Makes benches. `folder` is this worker's own."""

    def __init__(self, runner: CommandRunner, folder: Path) -> None:
        self._runner, self._folder = runner, folder

    @property
    def builds(self) -> Path:
        """Where half-built files wait for the attempt that goes on with them."""
        return self._folder / "builds"

    @asynccontextmanager
    async def bench(self, context: RunContext) -> AsyncIterator[Bench]:
        """A bench for one attempt, cleared away after it."""
        folder = self._folder / "benches"
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{context.job.run_id}-{context.job.attempt}-", dir=folder))
        try:
            yield Bench(context, self._runner, place)
        finally:
            # Not awaited: an attempt that is stopped has no time for it.
            shutil.rmtree(place, ignore_errors=True)

    def clear(self) -> None:
        """Remove what an earlier life of this worker left on its benches. Blocks."""
        shutil.rmtree(self._folder / "benches", ignore_errors=True)
