"""The windows of a run. Owns: how many its pages may have open, and that the run says how many it did not get.

Chromium itself blocks what no click asks for, as for people; of the others those beyond a bound are closed at once.
Tabs that the run opens itself don't count. Must not know steps.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from playwright.async_api import BrowserContext, Page

# With the run's own tab that makes ten.
MAX_POPUPS = 9


class Log(Protocol):
    """`RunContext.log`."""

    def __call__(self, level: str, message: str, **data: object) -> None:
        """Add a line."""


class Spawn(Protocol):
    """Starts work whose failure concerns nobody."""

    def __call__(self, work: Coroutine[Any, Any, object]) -> None:
        """Start it."""


class Windows:
    """Those of one context. `spawn` does work in the background."""

    def __init__(self, context: BrowserContext, log: Log, spawn: Spawn) -> None:
        self._context, self._log, self._spawn = context, log, spawn
        self._own: set[Page] = set()
        # Own tabs that are being opened: which event is theirs is only known afterwards.
        self._coming = 0
        # Windows that pages asked for, that came, and that were closed because there were too many.
        self._asked = self._came = self._closed = 0
        context.on("page", self._opened)

    async def new_page(self) -> Page:
        """A tab of the run's own."""
        self._coming += 1
        try:
            page = await self._context.new_page()
        finally:
            self._coming -= 1
        self._own.add(page)
        self._came -= 1
        await self._count_of(page)
        return page

    def report(self) -> None:
        """Say how many there are not, when the run ends."""
        blocked = max(self._asked - max(self._came, 0), 0)
        if blocked or self._closed:
            message = (
                f"{blocked + self._closed} windows of pages were not kept: {blocked} that no click had asked for were "
                f"blocked, {self._closed} beyond {MAX_POPUPS} were closed at once"
            )
            self._log("warn", message, blocked=blocked, closed=self._closed)

    async def _count_of(self, page: Page) -> None:
        session = await self._context.new_cdp_session(page)
        session.on("Page.windowOpen", self._wanted)
        await session.send("Page.enable")

    def _wanted(self, _event: object) -> None:
        self._asked += 1

    def _opened(self, page: Page) -> None:
        self._came += 1
        popups = sum(one not in self._own and not one.is_closed() for one in self._context.pages)
        if popups - self._coming <= MAX_POPUPS:
            if not self._coming:
                self._spawn(self._count_of(page))
            return
        self._closed += 1
        self._spawn(page.close())
