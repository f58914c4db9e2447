"""Child processes of one system: started in groups of their own, ended together. Must not know what they are."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trawl_local.guardian import die_with_parent

from benchmarks.errors import BenchmarkError
from benchmarks.machine import HOST

START_SECONDS = 60.0
STOP_SECONDS = 12.0
LOG_CHARACTERS = 2_000


@dataclass(slots=True)
class Programs:
    """What was started in `directory`, in that order. A program's output goes to `<name>.log` there."""

    directory: Path
    environment: Mapping[str, str]
    started: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str, command: Sequence[str], **environment: str) -> int:
        """Start one and answer its process id; it dies with this process, however that ends."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self.started[name] = process = await asyncio.create_subprocess_exec(
                *die_with_parent(),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self.directory,
                env={**self.environment, **environment},
                start_new_session=True,
            )
        return process.pid

    async def until_listening(self, name: str, port: int) -> None:
        """Return when the port answers. Raises `BenchmarkError` when the program ends before, or takes too long."""

        async def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((HOST, port)) == 0

        await self.until(name, listening, "does not listen")

    async def until(self, name: str, condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        """Return when the condition holds. Raises `BenchmarkError` as `until_listening` does."""
        deadline = time.monotonic() + START_SECONDS
        while not await condition():
            self.check_alive(name)
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{name} {otherwise} after {START_SECONDS:.0f} s:\n{self.tail(name)}")
            await asyncio.sleep(0.02)

    def check_alive(self, *names: str) -> None:
        """Raises `BenchmarkError` when one of these (all, when none is named) has ended."""
        for name in names or self.started:
            code = self.started[name].returncode
            if code is not None:
                raise BenchmarkError(f"{name} ended with {code}:\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        """The end of what it has written."""
        return (self.directory / f"{name}.log").read_text(errors="replace")[-LOG_CHARACTERS:]

    async def stop(self) -> None:
        """End everything, the last one started first."""
        for process in reversed(self.started.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            # What is left of the group goes as well; the leader's end does not end the others.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self.started.clear()


@contextlib.asynccontextmanager
async def programs_in(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Programs]:
    """An empty set of programs, ended afterwards whatever happens."""
    directory.mkdir(parents=True)
    programs = Programs(directory, environment)
    try:
        yield programs
    finally:
        # A time limit that strikes meanwhile must not leave half of them running.
        await asyncio.shield(programs.stop())
