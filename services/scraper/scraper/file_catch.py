"""Catches the file that a page brings. Owns: what counts as one, and that it is bounded while it comes.

An answer that a page, its frames or a tab that it opens is navigated to is taken out of the browser piece by piece
before the browser saves or shows it: nothing of it is on disk, what was not read is not sent, and a PDF that would be
shown is a file like one that would be saved. Only what no answer brings (`blob:`, `data:`) comes as a download event.
Must not know steps.
"""

import asyncio
import base64
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import CDPSession, Download, Page, Request, Route
from playwright.async_api import Error as PlaywrightError

from scraper.browser_chromium import within
from scraper.browser_lease import HeldBrowser
from scraper.file_names import is_attachment, sent_name
from scraper.step_error import StepError
from scraper.tabs import Tabs

CLEAN_SECONDS = 0.3
PIECE_BYTES = 256 * 1024
# Heads and other answers on the file's connection.
SLACK_BYTES = 1024 * 1024
_PAGES = frozenset({"", "text/html", "application/xhtml+xml", "multipart/x-mixed-replace"})
# What a frame may show as part of its page.
_PARTS = ("text/", "image/", "application/json", "application/xml")
# Without a body.
_EMPTY = frozenset({204, 205})


@dataclass(frozen=True, slots=True)
class CaughtFile:
    """A whole file. `name`: as its sender calls it."""

    name: str
    content_type: str
    data: bytes


class FileCatch:
    """The next file from the current one of `tabs`, at most `max_bytes`."""

    def __init__(self, held: HeldBrowser, tabs: Tabs, max_bytes: int) -> None:
        self._held, self._tabs, self._page, self._max_bytes = held, tabs, tabs.page, max_bytes
        self._file: asyncio.Future[CaughtFile] = asyncio.get_running_loop().create_future()
        # An answer is being taken: it is the file, whatever else comes.
        self._taking = False
        self._pages: list[Page] = []
        # Tabs that were there before: what they do is their own.
        self._others = frozenset(held.context.pages) - {self._page}
        # What new tabs were to show; some of these tabs are told of only after the file is there.
        self._apart: list[Request] = []
        self._main_frames: set[str] = set()
        self._sessions: list[CDPSession] = []
        self._downloads: list[Download] = []
        self._work: set[asyncio.Task[None]] = set()
        # Of the last answer that was none, for the words when no file comes.
        self._last = ""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["FileCatch"]:
        """Meanwhile, files are caught. Tabs that open meanwhile are closed at the end."""
        context = self._held.context
        was, self._held.downloads = self._held.downloads, True
        try:
            await self._attach(self._page)
            context.on("page", self._opened)
            await context.route("**/*", self._routed)
            with self._held.slow_beyond(self._max_bytes + SLACK_BYTES):
                yield self
        finally:
            self._held.downloads = was
            context.remove_listener("page", self._opened)
            await self._clean()

    async def caught(self, bringing: asyncio.Task[None], deadline: float) -> CaughtFile:
        """The file that `bringing` brings before `deadline` on the loop's clock. Raises what either of them raises."""
        loop = asyncio.get_running_loop()
        either: set[asyncio.Future[Any]] = {self._file, bringing}
        # What brings it has the same deadline, and says better why it failed.
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if bringing.done() and not self._file.done() and not self._taking:
            await bringing
        await asyncio.wait({self._file}, timeout=max(deadline - loop.time(), 0))
        if not self._file.done():
            raise StepError(f"no file came in time{self._last}", code="STEP_TIMEOUT")
        return self._file.result()

    async def _attach(self, page: Page) -> None:
        self._pages.append(page)
        page.on("download", self._downloaded)
        for target in page.frames:
            session = await self._session_of(page if target is page.main_frame else target)
            if session is None:
                continue
            await session.send("Page.enable")
            if target is page.main_frame:
                self._main_frames.add((await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"])
            session.on("Fetch.requestPaused", lambda event, s=session: self._spawn(self._paused(s, event)))
            session.on("Page.downloadProgress", self._progressed)
            patterns = [{"resourceType": "Document", "requestStage": "Response"}]
            await session.send("Fetch.enable", {"patterns": patterns})

    async def _session_of(self, target: Any) -> CDPSession | None:
        try:
            session = await self._held.context.new_cdp_session(target)
        except PlaywrightError:
            if target is self._page:
                raise
            return None  # A frame in its page's process is seen with the page.
        self._sessions.append(session)
        return session

    def _opened(self, page: Page) -> None:
        if page not in self._pages:
            self._spawn(self._attach(page))

    async def _routed(self, route: Route) -> None:
        # The context may close while a request waits here.
        with contextlib.suppress(PlaywrightError):
            if route.request.is_navigation_request() and self._is_of_new_tab(route.request):
                await route.abort()
                self._apart.append(route.request)
                self._spawn(self._open_apart(route.request))
            else:
                await route.fallback()

    def _is_of_new_tab(self, request: Request) -> bool:
        page = _page_of(request)
        return page is None or (page not in self._pages and page not in self._others)

    async def _open_apart(self, request: Request) -> None:
        """Ask for what a new tab was to show in one whose answers are seen from the first."""
        page = await self._held.new_page()
        await self._attach(page)
        if request.method != "GET":
            own: dict[str, str] = {
                name: request.headers[name] for name in ("content-type", "referer") if name in request.headers
            }

            async def as_asked(route: Route) -> None:
                headers = dict(route.request.headers) | own
                await route.continue_(method=request.method, headers=headers, post_data=request.post_data_buffer)

            await page.route("**/*", as_asked, times=1)
        # Taking the answer away breaks the navigation off.
        await page.goto(request.url, referer=request.headers.get("referer"), wait_until="commit")

    async def _paused(self, session: CDPSession, event: Mapping[str, Any]) -> None:
        sent: list[dict[str, str]] = event.get("responseHeaders", [])
        headers = {one["name"].lower(): one["value"] for one in sent}
        request = {"requestId": event["requestId"]}
        status = event.get("responseStatusCode", 0)
        main = event.get("frameId") in self._main_frames
        if self._taking or self._file.done() or not self._is_file(status, headers, main=main):
            await session.send("Fetch.continueRequest", request)
            return
        self._taking = True
        try:
            data = await self._taken(session, request, headers)
        except (PlaywrightError, StepError) as error:
            self._end(error)
        else:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            name = sent_name(event["request"]["url"], headers.get("content-disposition", ""), kind)
            self._end(CaughtFile(name, kind or "application/octet-stream", data))
        finally:
            await within(CLEAN_SECONDS, session.send("Fetch.failRequest", {**request, "errorReason": "Aborted"}))

    def _is_file(self, status: int, headers: Mapping[str, str], *, main: bool) -> bool:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if main:
            self._last = f"; the last answer was {status} {kind}".rstrip()
        if not 200 <= status < 300 or status in _EMPTY:
            return False
        if is_attachment(headers.get("content-disposition", "")):
            return True
        return kind not in _PAGES and (main or not kind.startswith(_PARTS))

    async def _taken(self, session: CDPSession, request: dict[str, str], headers: Mapping[str, str]) -> bytes:
        length = headers.get("content-length", "")
        told = int(length) if length.isdecimal() and "content-encoding" not in headers else None
        if told is not None and told > self._max_bytes:
            raise self._too_large(f"{told} bytes")
        stream = (await session.send("Fetch.takeResponseBodyAsStream", request))["stream"]
        taken = bytearray()
        try:
            ended = False
            while not ended:
                piece = await session.send("IO.read", {"handle": stream, "size": PIECE_BYTES})
                text, ended = piece["data"], piece["eof"]
                taken += base64.b64decode(text) if piece.get("base64Encoded") else text.encode()
                if len(taken) > self._max_bytes:
                    raise self._too_large()
        finally:
            # In this order: a stream that is closed first lets more come.
            await within(CLEAN_SECONDS, session.send("Fetch.failRequest", {**request, "errorReason": "Aborted"}))
            await within(CLEAN_SECONDS, session.send("IO.close", {"handle": stream}))
        if told is not None and len(taken) != told:
            raise StepError(f"the file ended after {len(taken)} of {told} bytes", code="STEP_FAILED")
        return bytes(taken)

    def _downloaded(self, download: Download) -> None:
        self._downloads.append(download)
        if not self._taking and not self._file.done() and len(self._downloads) == 1:
            self._spawn(self._saved(download))
        else:
            self._spawn(_cancelled(download))

    def _progressed(self, event: Mapping[str, Any]) -> None:
        size = max(event["totalBytes"], event["receivedBytes"])
        if size > self._max_bytes and not self._taking:
            self._end(self._too_large(f"{size:.0f} bytes"))

    async def _saved(self, download: Download) -> None:
        try:
            path = await download.path()
            size = path.stat().st_size
            if size > self._max_bytes:
                raise self._too_large(f"{size} bytes")
            data = path.read_bytes()
        except (PlaywrightError, StepError) as error:
            # One that was taken as an answer ends as a failed download.
            if not self._taking:
                self._end(error)
        else:
            name = download.suggested_filename
            self._end(CaughtFile(name, mimetypes.guess_type(name)[0] or "application/octet-stream", data))

    def _too_large(self, size: str = "") -> StepError:
        has = f"{size}, more than {self._max_bytes}" if size else f"more than {self._max_bytes} bytes"
        return StepError(f"the file has {has}", code="FILE_TOO_LARGE", fatal=True)

    def _end(self, how: CaughtFile | Exception) -> None:
        if self._file.done():
            return
        if isinstance(how, Exception):
            self._file.set_exception(how)
        else:
            self._file.set_result(how)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_unless_gone(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _clean(self) -> None:
        """Let go of everything within a moment: the run may be ending."""
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._file.cancel()
        if self._file.done() and not self._file.cancelled():
            self._file.exception()
        ends: list[Coroutine[Any, Any, Any]] = [self._held.context.unroute("**/*", self._routed)]
        ends += [_cancelled(one) for one in self._downloads]
        ends += [one.detach() for one in self._sessions]
        ends += [self._close(one) for one in self._held.context.pages if one in self._pages and one is not self._page]
        for page in self._pages:
            page.remove_listener("download", self._downloaded)
        self._held.context.on("page", self._came_late)
        for page in self._held.context.pages:
            self._came_late(page)
        await asyncio.gather(*(within(CLEAN_SECONDS, one) for one in ends))

    def _came_late(self, page: Page) -> None:
        if any(_page_of(request) is page for request in self._apart):
            self._spawn(self._close(page))

    def _close(self, page: Page) -> Coroutine[Any, Any, None]:
        self._tabs.leave(page)
        return page.close()


def _page_of(request: Request) -> Page | None:
    try:
        return request.frame.page
    except PlaywrightError:
        return None  # The tab is so new that it has no frame yet.


async def _cancelled(download: Download) -> None:
    """It must not go on filling the disk, nor stay there."""
    await download.cancel()
    await download.delete()


async def _unless_gone(work: Coroutine[Any, Any, None]) -> None:
    # Its page may close at any time.
    with contextlib.suppress(PlaywrightError):
        await work
