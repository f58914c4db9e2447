"""One running child process: started in a process group of its own, its lines read, its end noticed without asking.

Must not know why it runs.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trawl_local.guardian import die_with_parent

LINE_BYTES = 64 * 1024
DRAIN_SECONDS = 0.3


class _Lines:
    """Reads a pipe and cuts it into lines; a line over `LINE_BYTES` is cut short."""

    def __init__(self, pipe: int, on_line: Callable[[str], None]) -> None:
        self._pipe, self._on_line, self._rest, self._skipping = pipe, on_line, b"", False
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._pipe, LINE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._emit(line)
        if len(self._rest) > LINE_BYTES:
            self._emit(self._rest)
            self._rest, self._skipping = b"", True

    def _emit(self, line: bytes) -> None:
        if self._skipping:
            self._skipping = False
        elif text := line[:LINE_BYTES].decode(errors="replace").rstrip():
            self._on_line(text)

    def close(self) -> None:
        """Stop reading; what has no end of line yet is a line as well."""
        if self.ended.done():
            return
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._emit(self._rest)
        self.ended.set_result(None)


class Child:
    """A process, started at once. Raises OSError when it can't be.

    `exited` becomes its exit code (negative: the signal that ended it).
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> None:
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*die_with_parent(), *command],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                process_group=0,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pid = self._process.pid
        self._lines = _Lines(reading, on_line)
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._ended)

    def terminate(self) -> None:
        """Ask the process to end; what it started is its own to end."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole process group."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _ended(self) -> None:
        # Until it is waited for, its number can't be another group's: what it left behind in its group ends here.
        self.kill()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set_result(self._process.wait())

    async def finish(self) -> int:
        """Wait for the end, and for the last lines."""
        code = await asyncio.shield(self.exited)
        await asyncio.wait([self._lines.ended], timeout=DRAIN_SECONDS)
        self._lines.close()
        return code

    async def stop(self, patience_seconds: float) -> str:
        """End it: TERM, and KILL when that didn't help in time. Answers which one it took."""
        how = "TERM"
        self.terminate()
        await asyncio.wait([self.exited], timeout=patience_seconds)
        if not self.exited.done():
            how = "KILL"
            self.kill()
        await self.finish()
        return how


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
