"""Child processes from the outside: starting, speaking to, and ending one for good. Must not know leases or gRPC."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

Json = Any
START_SECONDS = 60.0
TERM_SECONDS = 1.0
MAX_LINE_BYTES = 64 * 1024 * 1024


class Unusable(Exception):
    """The author's module can't be loaded; the message says why."""


class ChildProcess:
    """One child. `messages` ends when it has died."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self.tasks: list[dict[str, Json]] = []

    @classmethod
    async def start(cls, target: str) -> "ChildProcess":
        """A child that has loaded `target`. Raises `Unusable`."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "trawl_sdk.child", target, str(theirs.fileno()),
                pass_fds=[theirs.fileno()], start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        child = cls(process, reader, writer)
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

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to whatever it has started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def end(self) -> None:
        """TERM, then KILL: returns when nothing of it is left."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                await self._process.wait()
        # Also what the process has left behind in its session.
        self.signal(signal.SIGKILL)
        await self._process.wait()
        self._writer.close()


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
