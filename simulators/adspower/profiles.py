"""Browser profiles as real Chromium processes. Owns: folders, DevTools ports, their ends. Must not know HTTP."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class StartFailed(Exception):
    """No browser came up."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open profile."""

    process: asyncio.subprocess.Process
    port: int
    path: str

    @property
    def puppeteer(self) -> str:
        """Its DevTools address, as this machine sees it."""
        return f"ws://127.0.0.1:{self.port}{self.path}"

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.returncode is None


class Profiles:
    """By id; each keeps its folder, so that it remembers its cookies."""

    def __init__(self, folder: Path, chromium: str = "") -> None:
        self._folder = folder
        found = chromium or next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
        self._program = found or "chromium"
        self._open: dict[str, Opened] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.started = 0
        self.stopped = 0

    def find(self, profile: str) -> Opened | None:
        """The profile, if it is open."""
        opened = self._open.get(profile)
        return opened if opened is not None and opened.alive else None

    async def start(self, profile: str) -> Opened:
        """Open it, unless it is. Raises `StartFailed`."""
        async with self._locks.setdefault(profile, asyncio.Lock()):
            opened = self.find(profile)
            if opened is None:
                opened = self._open[profile] = await self._launch(profile)
                self.started += 1
            return opened

    async def _launch(self, profile: str) -> Opened:
        folder = (self._folder / f"profile-{_UNSAFE.sub('_', profile)[:100]}").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "DevToolsActivePort"
        told.unlink(missing_ok=True)
        arguments = [
            "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
            "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--mute-audio",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank",
        ]  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                self._program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise StartFailed(f"{self._program} can't be started") from error
        loop = asyncio.get_running_loop()
        until = loop.time() + START_SECONDS
        while loop.time() < until and process.returncode is None:
            lines = told.read_text().splitlines() if told.exists() else []
            if len(lines) >= 2:
                return Opened(process, int(lines[0]), lines[1])
            await asyncio.sleep(0.05)
        await _end(process)
        raise StartFailed("the browser did not come up")

    async def stop(self, profile: str) -> bool:
        """Close it; whether it was open."""
        opened = self._open.pop(profile, None)
        if opened is None:
            return False
        was_alive = opened.alive
        await _end(opened.process)
        self.stopped += was_alive
        return was_alive

    async def kill(self, profile: str) -> bool:
        """End it as a crash would; whether there was anything to kill."""
        opened = self.find(profile)
        if opened is None:
            return False
        _signal(opened.process, signal.SIGKILL)
        await opened.process.wait()
        return True

    async def close(self) -> None:
        """Close all."""
        for profile in list(self._open):
            await self.stop(profile)


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    # The group: a browser is many processes, and the first may be gone before its children.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
