"""How a page is rendered. Owns: the port between scraping and the browser. Must not know Chromium."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from scraper.executor import Json, RunContext


class RenderedPage(Protocol):
    """What the browser shows once the page is ready."""

    @property
    def url(self) -> str:
        """After redirects."""

    @property
    def status(self) -> int:
        """Of the main document; 0: none."""

    @property
    def html(self) -> str:
        """After scripts."""


class RenderSession(Protocol):
    """The browser of one run. It is asked for one page at a time."""

    async def load(
        self, url: str, *, wait_for: str | None, scroll: bool, steps: Sequence[Json], timeout_seconds: float
    ) -> RenderedPage:
        """Open `url`, wait for the selector `wait_for`, scroll to the end, do `steps`. Raises ExecutorError."""


class Renderer(Protocol):
    """Makes sessions. `options`: `user_agent`, `headers`, `proxy` where the run sets them."""

    def session(self, context: RunContext, options: Mapping[str, Json]) -> AbstractAsyncContextManager[RenderSession]:
        """A session with a fresh browser context, closed at the end."""
