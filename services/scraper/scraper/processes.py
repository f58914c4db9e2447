"""Commands as process groups. Owns: their start, environment, end, and the proof of it. Must not know executors' rules.

Every command runs below `child.py`, which is told apart from all other processes by the environment variable
TRAWL_RUN=<worker's marker>:<run id>:<attempt>. What belongs to a command is what descends from it or carries that
variable, so that neither leaving the session nor losing the parent hides a process.
"""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import orjson

from scraper import child
from scraper.executor import ExecutorError, InvalidParameters, Job, Json, RunContext
from scraper.output import LineLog, Tail
from scraper.templates import value_text

MARK = "TRAWL_RUN"
# The kernel takes at most 128 KiB in one environment variable.
MAX_VARIABLE_BYTES = 100 * 1024
RESULT_BYTES = 64 * 1024
ERROR_BYTES = 4 * 1024
READ_BYTES = 64 * 1024
# How long output may still come after the command itself has ended.
DRAIN_SECONDS = 0.5
KILL_SECONDS = 0.3
PATIENCE_SECONDS = 0.25
# What a cancelled command gets to end by itself, before its executor gives up waiting.
GRACE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Resource limits of a command and what it starts; None leaves one as it is. Core dumps are always off.

    `processes` counts all of the user's processes, as the kernel does, and doesn't bind root.
    """

    open_files: int | None = 4096
    file_bytes: int | None = 4 * 1024**3
    address_space_bytes: int | None = 8 * 1024**3
    processes: int | None = 4096

    def to_text(self) -> str:
        """In the form that `child.py` takes."""
        named = {
            "nofile": self.open_files,
            "fsize": self.file_bytes,
            "as": self.address_space_bytes,
            "nproc": self.processes,
        }
        return ",".join(["core=0", *(f"{name}={value}" for name, value in named.items() if value is not None)])


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `variables` come on top of the clean environment."""

    program: str
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `exit_code` is negative when a signal ended it; the texts are what it wrote last."""

    exit_code: int
    output: str
    errors: str

    def describe(self) -> str:
        """The end in words."""
        if self.exit_code < 0:
            return f"killed by {_signal_name(-self.exit_code)} (signal {-self.exit_code})"
        hint = f", as after {_signal_name(self.exit_code - 128)}" if 128 < self.exit_code <= 128 + 64 else ""
        return f"exit code {self.exit_code}{hint}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a signal"


class ProcessGroup:
    """Everything alive of one command (a `Guarded`)."""

    def __init__(self, mark: str, folder: Path | None = None) -> None:
        self._mark, self._folder = mark.encode(), folder
        self._wrapper: asyncio.subprocess.Process | None = None
        self._released = False

    def started(self, wrapper: asyncio.subprocess.Process) -> None:
        """From now on descendants of `wrapper` belong to it as well."""
        self._wrapper = wrapper

    def terminate(self) -> None:
        """Ask the command's group to end, and what left the group too."""
        found = self._find()
        wrapper = self._wrapper_pid()
        # Alone, the wrapper is just starting the command, and passes it on.
        for pid in [pid for pid in found if pid != wrapper] or found:
            _send(pid, signal.SIGTERM)

    def kill(self) -> int:
        """Kill all of it, for at most KILL_SECONDS; answers how many processes there were, the wrapper not counted."""
        started = monotonic()
        wrapper = self._wrapper_pid()
        found = self._find()
        count = len([pid for pid in found if pid != wrapper])
        while found and monotonic() < started + KILL_SECONDS:
            for pid in found:
                # The wrapper ends by itself when it has collected the others; only one that hangs is killed.
                patient = pid == wrapper and monotonic() < started + PATIENCE_SECONDS
                _send(pid, signal.SIGUSR1 if patient else signal.SIGKILL)
            sleep(0.002)
            found = self._find()
        return count

    def alive(self) -> bool:
        """Whether anything of it is left."""
        return bool(self._find())

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
            found |= {pid for pid in (wrapper, *child.descendants(wrapper)) if not _is_zombie(pid)}
        return sorted(found)


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
    return [pid for pid in found if not _is_zombie(pid)]


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123  # see above
            return (file.readall() or b"").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"], [])
    except OSError:
        return True


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


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
            _send(pid, signal.SIGKILL)
        sleep(0.005)
    return len(killed)


def checked_marker(marker: str) -> str:
    """`marker`, when it can stand in TRAWL_RUN unambiguously."""
    if not re.fullmatch(r"[\w.-]{1,128}", marker, re.ASCII):
        raise ValueError(f"a worker's marker consists of letters, digits, '_', '.' and '-', not {marker!r}")
    return marker


class CommandRunner:
    """Runs commands of one worker. `work_dir` holds their folders.

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
    ) -> None:
        place = hashlib.sha256(os.fsencode(work_dir.resolve())).hexdigest()[:8]
        self.marker = checked_marker(f"{worker_id}-{place}")
        self._folders = work_dir / "commands" / self.marker
        self._limits, self._path = limits or ProcessLimits(), path
        self._log_lines_per_second = log_lines_per_second

    def clear_folders(self) -> None:
        """Remove the folders that an earlier life left behind; to be called after `reap_leftovers`. Blocks."""
        shutil.rmtree(self._folders, ignore_errors=True)

    async def run(self, context: RunContext, command: Command) -> Finished:
        """Run it to its end. Output becomes log lines as it comes; nothing of the command is alive afterwards.

        When cancelled, it asks the command to end and waits for GRACE_SECONDS; what is then left ends through the
        group that the context guards, and so does the folder in every case.
        """
        job = context.job
        mark = f"{self.marker}:{job.run_id}:{job.attempt}"
        self._folders.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{job.run_id}-{job.attempt}-", dir=self._folders))
        group = ProcessGroup(mark, folder)
        context.guard(group)
        try:
            environment = self._environment(context, folder, mark) | dict(command.variables or {})
            finished = await self._attend(context, command, folder, environment, group)
        except asyncio.CancelledError:
            raise  # The supervisor ends what is left: TERM, then KILL.
        except BaseException:
            group.kill()
            raise
        group.kill()
        return finished

    async def _attend(
        self, context: RunContext, command: Command, folder: Path, environment: Mapping[str, str], group: ProcessGroup
    ) -> Finished:
        output, errors = Tail(RESULT_BYTES), Tail(ERROR_BYTES)
        pipes: list[tuple[int, int]] = []
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
        readers = [
            asyncio.create_task(_read(pipes[0][0], output, self._line_log(context, "info", "stdout"))),
            asyncio.create_task(_read(pipes[1][0], errors, self._line_log(context, "warn", "stderr"))),
        ]
        try:
            exit_code = await _until_ended(process, group)
            group.kill()
            # Only a process that nobody can kill could still hold the pipes open.
            await asyncio.wait(readers, timeout=DRAIN_SECONDS)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        return Finished(exit_code, output.text(), errors.text())

    async def _start(
        self, command: Command, folder: Path, environment: Mapping[str, str], pipes: tuple[int, int]
    ) -> asyncio.subprocess.Process:
        words = [str(os.getpid()), self._limits.to_text(), command.program, *command.arguments]
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                child.__file__,
                *words,
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

    def _environment(self, context: RunContext, folder: Path, mark: str) -> dict[str, str]:
        environment = {
            "PATH": self._path,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            MARK: mark,
        }
        parameters = orjson.dumps(dict(context.job.parameters), default=str)
        if len(parameters) <= MAX_VARIABLE_BYTES:
            environment["TASK_PARAMETERS"] = parameters.decode()
        else:
            file = folder / "parameters.json"
            file.write_bytes(parameters)
            environment["TASK_PARAMETERS_FILE"] = str(file)
            context.log("warn", "The parameters are too large for TASK_PARAMETERS: see the file TASK_PARAMETERS_FILE")
        return environment | parameter_variables(context.job)

    def _line_log(self, context: RunContext, level: str, stream: str) -> LineLog:
        return LineLog(context, level=level, stream=stream, lines_per_second=self._log_lines_per_second)


def parameter_variables(job: Job) -> dict[str, str]:
    """PARAM_<NAME> for each scalar parameter: the name in upper case, anything but A-Z, 0-9 and _ turned into _."""
    variables: dict[str, str] = {}
    for name, value in job.parameters.items():
        if isinstance(value, Mapping | list | tuple):
            continue
        text = value_text(value)
        if "\0" in text:
            raise InvalidParameters("holds a NUL character, which no program can be given", field=f"parameters.{name}")
        if len(text.encode(errors="replace")) <= MAX_VARIABLE_BYTES:
            variables["PARAM_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())] = text
    return variables


async def _until_ended(process: asyncio.subprocess.Process, group: ProcessGroup) -> int:
    """The exit code. Cancelled, it passes the wish on, and leaves the command GRACE_SECONDS for it."""
    try:
        return await process.wait()
    except asyncio.CancelledError:
        group.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
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
            await readable.wait()
            readable.clear()
            try:
                data = os.read(pipe, READ_BYTES)
            except BlockingIOError:
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
