"""Commands as process groups. Owns: their start, environment, end, and the proof of it. Must not know executors' rules.

Every command runs below a `subreaper`, and carries TRAWL_RUN=<worker's marker>:<run id>:<attempt>. An order to stop is
SIGTERM to everything of it, then the command's grace, then SIGKILL.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chassis.process_tree import below_subreaper

from scraper.command_environment import command_environment
from scraper.command_limits import ProcessLimits, out_of_memory_kills
from scraper.executor import ExecutorError, InvalidParameters, Job, Json, RunContext
from scraper.output import Allowance, LineLog, Tail
from scraper.process_group import MARK, ProcessGroup, checked_marker

RESULT_BYTES = 64 * 1024
ERROR_BYTES = 4 * 1024
READ_BYTES = 64 * 1024
# How long output may still come after the command itself has ended.
DRAIN_SECONDS = 0.5
# What a command that is told to stop has to tidy up, unless its task says otherwise.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `variables` come on top of the clean environment. `grace_seconds`: None leaves it to the task."""

    program: str
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] | None = None
    grace_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `exit_code` is negative when a signal ended it; the texts are what it wrote last.

    `limit`: the setting whose limit it seems to have met. `memory_ran_out`: the kernel has ended processes meanwhile.
    """

    exit_code: int
    output: str
    errors: str
    limit: str = ""
    memory_ran_out: bool = False

    def describe(self) -> str:
        """The end in words."""
        why = f" (limit {self.limit})" if self.limit else ""
        if self.memory_ran_out:
            why += " (memory ran out meanwhile: the kernel has killed processes for it)"
        if self.exit_code < 0:
            return f"killed by {_signal_name(-self.exit_code)} (signal {-self.exit_code}){why}"
        hint = f", as after {_signal_name(self.exit_code - 128)}" if 128 < self.exit_code <= 128 + 64 else ""
        return f"exit code {self.exit_code}{hint}{why}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a signal"


class CommandRunner:
    """Runs commands of one worker. `work_dir` holds their folders. `hidden`: paths that commands of root find empty.

    `marker` tells its processes from all others on the machine: the worker's id, and the place of its `work_dir`, so
    that two installations whose workers have the same id don't reap one another's.
    """

    def __init__(
        self,
        *,
        worker_id: str,
        work_dir: Path,
        limits: ProcessLimits | None = None,
        path: str = "/usr/local/bin:/usr/bin:/bin",
        log_lines_per_second: int = 200,
        grace_seconds: float = GRACE_SECONDS,
        hidden: Sequence[str] = (),
    ) -> None:
        place = hashlib.sha256(os.fsencode(work_dir.resolve())).hexdigest()[:8]
        self.marker = checked_marker(f"{worker_id}-{place}")
        self._folders = work_dir / "commands" / self.marker
        self._limits, self._path = limits or ProcessLimits(), path
        self._hidden = hidden
        self._log_lines_per_second, self._grace_seconds = log_lines_per_second, grace_seconds

    def clear_folders(self) -> None:
        """Remove the folders that an earlier life left behind; to be called after `reap_leftovers`. Blocks."""
        shutil.rmtree(self._folders, ignore_errors=True)

    async def run(self, context: RunContext, command: Command) -> Finished:
        """Run it to its end. Output becomes log lines as it comes; nothing of the command is alive afterwards.

        When cancelled, it asks the command to end and waits for its grace; what is then left ends through the group
        that the context guards, and so does the folder in every case.
        """
        job = context.job
        mark = f"{self.marker}:{job.run_id}:{job.attempt}"
        self._folders.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{job.run_id}-{job.attempt}-", dir=self._folders))
        group = ProcessGroup(mark, folder, grace_seconds=self._grace_of(job, command))
        context.guard(group)
        try:
            environment = command_environment(context, folder, self._path) | dict(command.variables or {})
            finished = await self._attend(context, command, folder, environment | {MARK: mark}, group)
        except asyncio.CancelledError:
            raise  # The supervisor ends what is left.
        except BaseException:
            group.kill()
            raise
        group.kill()
        return finished

    def _grace_of(self, job: Job, command: Command) -> float:
        given = command.grace_seconds if command.grace_seconds is not None else job.grace_seconds
        return self._grace_seconds if given is None else given

    async def _attend(
        self, context: RunContext, command: Command, folder: Path, environment: Mapping[str, str], group: ProcessGroup
    ) -> Finished:
        output, errors = Tail(RESULT_BYTES), Tail(ERROR_BYTES)
        pipes: list[tuple[int, int]] = []
        killed_before = out_of_memory_kills()
        try:
            pipes += [os.pipe(), os.pipe()]
            process = await self._start(command, folder, environment, (pipes[0][1], pipes[1][1]))
        except BaseException:
            for reading, _ in pipes:
                os.close(reading)
            raise
        finally:
            for _, writing in pipes:
                os.close(writing)
        group.started(process)
        allowance = Allowance(self._log_lines_per_second)
        logs = (
            LineLog(context, allowance, level="info", stream="stdout"),
            LineLog(context, allowance, level="warn", stream="stderr"),
        )
        readers = [
            asyncio.create_task(_read(pipes[0][0], output, logs[0])),
            asyncio.create_task(_read(pipes[1][0], errors, logs[1])),
        ]
        try:
            exit_code = await _until_ended(process, group)
            group.kill()
        finally:
            # Only a process that nobody can kill, or one whose grace is over, could still hold the pipes open.
            with suppress(asyncio.CancelledError):
                await asyncio.wait(readers, timeout=DRAIN_SECONDS)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        said = errors.text()
        killed = exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL) and out_of_memory_kills() > killed_before
        limit = self._limits.reached(exit_code, said)
        return Finished(exit_code, output.text(), said, limit, memory_ran_out=killed)

    async def _start(
        self, command: Command, folder: Path, environment: Mapping[str, str], pipes: tuple[int, int]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *below_subreaper(self._limits.to_text(), command.program, *command.arguments, hidden=self._hidden),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes[0],
                stderr=pipes[1],
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except ValueError as error:
            # A NUL or a lone surrogate, which no program can be given.
            raise InvalidParameters(f"can't be passed to a program: {error}", field="arguments") from error
        except OSError as error:
            if error.errno == 7:  # E2BIG
                raise InvalidParameters("command, arguments and parameters are too large together") from error
            raise ExecutorError(f"the command could not be started: {error}", code="START_FAILED") from error


async def _until_ended(process: asyncio.subprocess.Process, group: ProcessGroup) -> int:
    """The exit code. Cancelled, it passes the wish on, and leaves the command its grace."""
    try:
        return await process.wait()
    except asyncio.CancelledError:
        group.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(group.grace_seconds):
                await process.wait()
        raise


async def _read(pipe: int, tail: Tail, lines: LineLog) -> None:
    """Take in all that comes, and close the pipe.

    Not by `connect_read_pipe`: uvloop's closes what it is given twice, and the second time may hit a file that another
    thread has just opened under the same number.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    os.set_blocking(pipe, False)
    loop.add_reader(pipe, readable.set)
    try:
        while True:
            # The last lines of a flood are held back, and shown once it is over.
            with suppress(TimeoutError):
                async with asyncio.timeout(lines.due_seconds()):
                    await readable.wait()
            readable.clear()
            try:
                data = os.read(pipe, READ_BYTES)
            except BlockingIOError:
                lines.show_held()
                continue
            if not data:
                return
            tail.add(data)
            lines.add(data)
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)
        lines.finish()


def command_of(job: Job) -> tuple[str, tuple[str, ...] | None]:
    """Command and arguments of a job; a job without a command has them among its parameters (a workflow's step)."""
    if job.command or "command" not in job.parameters:
        return job.command, job.arguments
    command: Json = job.parameters["command"]
    arguments: Json = job.parameters.get("arguments")
    if not isinstance(command, str):
        raise InvalidParameters("must be a string", field="command")
    if arguments is None:
        return command, None
    if not isinstance(arguments, list | tuple) or not all(isinstance(word, str) for word in arguments):
        raise InvalidParameters("must be a list of strings", field="arguments")
    return command, tuple(arguments)
