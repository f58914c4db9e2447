"""A Playwright trace file of one run, for those who ask for it. Owns: when it ends, and what is taken out of it.

It holds what was typed, and every page's DOM and traffic, so it ends for good before the first secret is used; cookies,
and headers that log in, are taken out afterwards. Until then the raw parts lie in the browser's own folder, which only
this user can read and which goes with the browser. Must not know steps.
"""

import asyncio
import contextlib
import io
import shutil
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path

import orjson
from playwright.async_api import BrowserContext
from playwright.async_api import Error as PlaywrightError

from scraper.executor import Json
from scraper.step_templates import HIDDEN, Redactor

FILE_NAME = "playwright-trace.zip"
# Raw and packed; a larger one is not kept.
MAX_BYTES = 100 * 1024 * 1024
STOP_SECONDS = 20.0
# A shorter value of a cookie ("1", "en") says nothing, and would hide half of the file.
SHORTEST_COOKIE = 8
_PRIVATE_HEADERS = frozenset({"cookie", "set-cookie", "authorization", "proxy-authorization"})


class TraceFolder:
    """Where one browser's raw traces lie. Contexts share parts of it, so it is emptied when none records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: set[str] = set()

    def enter(self) -> str:
        """The name of a new trace."""
        name = uuid.uuid4().hex
        self._names.add(name)
        return name

    def packed(self, name: str) -> Path:
        """Where that trace's file comes to lie."""
        return self.path / f"{name}.zip"

    def leave(self, name: str) -> None:
        """Remove what is that trace's alone, and all of it with the last one. Blocks."""
        self._names.discard(name)
        for part in self.path.glob("*" if not self._names else f"{name}*"):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


class PlaywrightTrace:
    """`ended_at`: the step before which it ended because of a secret."""

    def __init__(self, context: BrowserContext, folder: TraceFolder) -> None:
        self._context, self._folder = context, folder
        self._name = folder.enter()
        self._cookies: set[str] = set()
        self._recording = False
        self.ended_at: str | None = None

    async def start(self) -> None:
        """Record from here on. Raises what Playwright raises."""
        # Before the call: one that is given up on may begin nevertheless.
        self._recording = True
        try:
            await self._context.tracing.start(name=self._name, snapshots=True, screenshots=True)
        except PlaywrightError:
            self._recording = False
            raise

    @property
    def recording(self) -> bool:
        """Whether what happens now gets into the file."""
        return self._recording

    async def stop(self, ended_at: str | None = None, *, keep: bool = True) -> None:
        """Record no more. Raises what Playwright raises, and TimeoutError: then it may go on recording."""
        if not self._recording:
            return
        async with asyncio.timeout(STOP_SECONDS):
            for cookie in await self._context.cookies() if keep else ():
                self._cookies.add(str(cookie.get("value", "")))
            await self._context.tracing.stop(path=self._folder.packed(self._name) if keep else None)
        self._recording, self.ended_at = False, ended_at

    async def take(self, redactor: Redactor) -> bytes | None:
        """The cleaned file; None when it is too large or there is none."""
        packed = self._folder.packed(self._name)
        return await asyncio.to_thread(clean, packed, redactor.with_more(self._told_by_cookies()))

    def _told_by_cookies(self) -> Iterable[str]:
        return (value for value in self._cookies if len(value) >= SHORTEST_COOKIE)

    async def close(self) -> None:
        """Remove the raw parts. What is still recorded ends with the context."""
        await asyncio.to_thread(self._folder.leave, self._name)


def clean(path: Path, redactor: Redactor) -> bytes | None:
    """The trace at `path` without what may not be shown. Blocks."""
    if not path.exists() or path.stat().st_size > MAX_BYTES:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as raw, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as cleaned:
        if sum(member.file_size for member in raw.infolist()) > MAX_BYTES:
            return None
        for member in raw.infolist():
            # Which of our own lines called: nobody's business outside.
            if member.filename.endswith(".stacks"):
                continue
            cleaned.writestr(member.filename, _cleaned(member.filename, raw.read(member), redactor))
    return packed.getvalue()


def _cleaned(name: str, data: bytes, redactor: Redactor) -> bytes:
    if name.endswith(".network"):
        data = b"\n".join(map(_without_logins, data.split(b"\n")))
    # Pictures are no text, and are as they are.
    with contextlib.suppress(UnicodeDecodeError):
        return redactor.text(data.decode()).encode()
    return data


def _without_logins(line: bytes) -> bytes:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    snapshot: Json = entry.get("snapshot") if isinstance(entry, dict) else None
    if not isinstance(snapshot, dict):
        return line
    for part in (snapshot.get("request"), snapshot.get("response")):
        if isinstance(part, dict):
            part["cookies"] = []
            for header in part.get("headers", ()):
                if str(header.get("name", "")).lower() in _PRIVATE_HEADERS:
                    header["value"] = HIDDEN
    return orjson.dumps(entry)
