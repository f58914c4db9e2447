"""Child processes from the outside: starting, speaking to, and ending one for good. Must not know leases or gRPC.

On Linux each has a `subreaper` above it, which ends all that it has started, wherever that went: also when it dies, and
when the worker does.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from chassis.process_tree import MARK, below_subreaper, marked_processes, send, tree

Json = Any
LINUX = sys.platform == "linux"
START_SECONDS = 60.0
TERM_SECONDS = 1.0
# How long the subreaper may take to kill what is below it.
KILL_SECONDS = 12.0
MAX_LINE_BYTES = 64 * 1024 * 1024


class Unusable(Exception):
    """The author's module can't be loaded; the message says why."""


class ChildProcess:
    """One child. `messages` ends when it has died."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mark: str
    ) -> None:
        self._process, self._reader, self._writer, self._mark = process, reader, writer, mark.encode()
        self.tasks: list[dict[str, Json]] = []

    @classmethod
    async def start(cls, target: str) -> "ChildProcess":
        """A child that has loaded `target`. Raises `Unusable`."""
        ours, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-m", "trawl_sdk.child", target, str(theirs.fileno())]
            mark = f"{os.getpid()}-{secrets.token_hex(8)}"
            process = await asyncio.create_subprocess_exec(
                *(below_subreaper("", *words) if LINUX else words),
                pass_fds=[theirs.fileno()], start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | {MARK: mark},
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        child = cls(process, reader, writer, mark)
        try:
            async with asyncio.timeout(START_SECONDS):
                first = await child.receive()
        except TimeoutError:
            first = {"say": "unusable", "why": f"it was not loaded within {START_SECONDS:g} s"}
        except BaseException:
            await child.end()
            raise
        if first is None or first["say"] != "ready":
            await child.end()
            raise Unusable(first["why"] if first else "the process ended while it was loaded")
        child.tasks = first["tasks"]
        return child

    async def receive(self) -> dict[str, Json] | None:
        """The next message; None when the child has died."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Json] = orjson.loads(line)
        return message

    async def messages(self) -> AsyncIterator[dict[str, Json]]:
        """What it says, until it dies."""
        while (message := await self.receive()) is not None:
            yield message

    @property
    def alive(self) -> bool:
        """Whether it could do another run."""
        return self._process.returncode is None and not self._reader.at_eof()

    def send(self, message: Mapping[str, Json]) -> None:
        """Tell it something; one that has died hears nothing."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))

    async def end(self) -> "Ended":
        """TERM, then KILL: returns when nothing of it is left."""
        left = self._others()
        self._send(signal.SIGTERM)
        how = "term"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                await self._process.wait()
        if self._process.returncode is None:
            how, left = "kill", left | self._others()
        await self._kill()
        self._writer.close()
        return Ended(how, len(left))

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if LINUX:
                # To the subreaper, which passes it on.
                self._process.send_signal(number)
            else:
                os.killpg(self._process.pid, number)

    async def _kill(self) -> None:
        if not LINUX:
            self._send(signal.SIGKILL)
            await self._process.wait()
            return
        self._send(signal.SIGUSR1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self._process.wait()
        if self._process.returncode is None:
            for pid in tree(self._process.pid):
                send(pid, signal.SIGKILL)
            self._send(signal.SIGKILL)
            await self._process.wait()
        # Where somebody has killed the subreaper, only the mark still says what was below it.
        for pid in marked_processes(self._mark):
            send(pid, signal.SIGKILL)

    def _others(self) -> set[int]:
        """What the function has started, as far as it lives."""
        if not LINUX or self._process.returncode is not None:
            return set()
        below = tree(self._process.pid)
        children = [(place.started, pid) for pid, place in below.items() if place.parent == self._process.pid]
        own = min(children)[1] if children else 0
        return {pid for pid, place in below.items() if pid != own and not place.zombie}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child was ended: `how` is term or kill, `others` counts what had to be ended with it."""

    how: str
    others: int


class Pool:
    """Children that wait for a run; one is started when none does."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._idle: list[ChildProcess] = []

    async def take(self) -> ChildProcess:
        """A child that is free. Raises `Unusable`."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            await child.end()
        return await ChildProcess.start(self._target)

    def give_back(self, child: ChildProcess) -> None:
        """It has done its run and can do another."""
        self._idle.append(child)

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*(child.end() for child in self._idle))
        self._idle.clear()
