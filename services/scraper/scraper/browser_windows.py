"""The windows of a run. Owns: how many its pages may open, and that those beyond are closed at once and counted.

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


class Windows:
    """Those of one context. `spawn` does work in the background."""

    def __init__(self, context: BrowserContext, log: Log, spawn: "Spawn") -> None:
        self._context, self._log, self._spawn = context, log, spawn
        self._own: set[Page] = set()
        # Own tabs that are being opened: which event is theirs is only known afterwards.
        self._coming = 0
        self.closed = 0
        context.on("page", self._opened)

    async def new_page(self) -> Page:
        """A tab of the run's own."""
        self._coming += 1
        try:
            page = await self._context.new_page()
        finally:
            self._coming -= 1
        self._own.add(page)
        return page

    def report(self) -> None:
        """Say how many were closed, when the run ends."""
        if self.closed:
            self._log("warn", f"{self.closed} windows beyond {MAX_POPUPS} were closed at once", closed=self.closed)

    def _opened(self, page: Page) -> None:
        popups = sum(one not in self._own and not one.is_closed() for one in self._context.pages)
        if popups - self._coming <= MAX_POPUPS:
            return
        self.closed += 1
        if self.closed == 1:
            self._log("warn", f"The page has opened more than {MAX_POPUPS} windows: the others are closed at once")
        self._spawn(page.close())


class Spawn(Protocol):
    """Starts work whose failure concerns nobody."""

    def __call__(self, work: Coroutine[Any, Any, object]) -> None:
        """Start it."""
