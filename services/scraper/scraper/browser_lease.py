"""What a run holds of a browser. Owns: the lease that a supervisor can end without the run's help.

`HeldBrowser` is what steps need of a browser, whether it is the pool's own or one that was only attached to.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol

from chassis.logs import get_logger
from playwright.async_api import BrowserContext, Download, Page

from scraper.browser_chromium import CLOSE_SECONDS, CRASHED, Chromium, within
from scraper.browser_windows import Log, Windows
from scraper.egress import EgressProxy, WhyNot
from scraper.playwright_trace import TraceFolder

log = get_logger("browser")

# A cancelled run has half a second to clean up; the pool goes on closing after that.
CLOSE_WAIT_SECONDS = 0.4
# What other runs in the same browser are given to go on, when a context would not close.
PATIENCE_SECONDS = 10.0
# A crash so soon after a renderer was ended is that one's.
CRASH_SECONDS = 10.0


class HeldBrowser(Protocol):
    """A run's context."""

    # Whether a file may come now; what a page sends unasked is broken off.
    downloads: bool
    # Where raw Playwright traces may lie; None: there can be none.
    traces: TraceFolder | None

    @property
    def context(self) -> BrowserContext:
        """Where its pages are."""

    async def new_page(self) -> Page:
        """Another tab of the run's own."""

    # In words, once it has.
    crash_reason: str

    async def crashed(self) -> bool:
        """Whether the browser under this run is gone, rather than the page closed by itself."""

    def why(self, url: str) -> WhyNot | None:
        """Why no connection to an address was made, where that is known."""

    def slow_beyond(self, most: int) -> AbstractContextManager[None]:
        """Meanwhile, a connection is slow beyond so many bytes, where its network is ours."""


class BrowserLease:
    """A run's own context. `Guarded`: the supervisor may end it at any time."""

    def __init__(
        self,
        chromium: Chromium,
        context: BrowserContext,
        release: "Callable[[BrowserLease], None]",
        way_out: EgressProxy,
        log: Log,
    ) -> None:
        self._context = context
        self.downloads = False
        self.traces: TraceFolder | None = chromium.traces
        self.page_crashed = False
        self.crash_reason = CRASHED
        self.chromium = chromium
        self._release = release
        self._way_out = way_out
        self._closing: asyncio.Task[None] | None = None
        self._ended = False
        self._work: set[asyncio.Task[object]] = set()
        self.windows = Windows(context, log, self._spawn)
        context.on("page", self._watch)

    @property
    def context(self) -> BrowserContext:
        """The run's own."""
        return self._context

    async def new_page(self) -> Page:
        """Another tab of the run's own."""
        return await self.windows.new_page()

    def why(self, url: str) -> WhyNot | None:
        """See `EgressProxy.why`."""
        return self._way_out.why(url)

    def slow_beyond(self, most: int) -> AbstractContextManager[None]:
        """See `EgressProxy.slow_beyond`."""
        return self._way_out.slow_beyond(most)

    def _watch(self, page: Page) -> None:
        page.on("crash", self._crashed)
        page.on("download", self._downloaded)

    async def _downloaded(self, download: Download) -> None:
        if not self.downloads:
            await within(CLOSE_SECONDS, download.cancel())

    def _crashed(self, _page: Page) -> None:
        self.page_crashed = True
        if time.monotonic() - self.chromium.ended_at < CRASH_SECONDS:
            self.crash_reason = self.chromium.ended

    async def crashed(self) -> bool:
        """Whether the browser under this run is gone, rather than the page closed by itself."""
        return self.page_crashed or not await self.chromium.responds()

    def terminate(self) -> None:
        """Start closing the context."""
        self._close()

    def kill(self) -> int:
        """Close the context; a close that hangs ends the whole browser."""
        if self._ended:
            return 0
        self._close()
        return 1

    def alive(self) -> bool:
        """Whether the context may still be open."""
        return not self._ended

    async def release(self) -> None:
        """Nothing is left to clean up: the context has no files."""

    async def close(self) -> None:
        """Close the context; comes back within half a second even when that takes longer."""
        await asyncio.wait({self._close()}, timeout=CLOSE_WAIT_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(within(CLOSE_SECONDS, work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = asyncio.create_task(self._end(), name="browser context close")
        return self._closing

    async def _end(self) -> None:
        try:
            seconds = PATIENCE_SECONDS if len(self.chromium.leases) > 1 else CLOSE_SECONDS
            if not await within(seconds, self._context.close()) and not self.chromium.dead:
                log.warning("a browser context would not close, so its browser is ended", pid=self.chromium.pid)
                self.chromium.kill()
        finally:
            self._ended = True
            self._release(self)
