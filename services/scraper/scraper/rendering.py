"""How a page is rendered. Owns: the port between scraping and the browser. Must not know Chromium."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from scraper.executor import Json, RunContext
from scraper.problems import Problems

# What crawlers are asked by headers.
TOLD_HEADERS = ("x-robots-tag", "retry-after")
# More than this of a page never leaves the browser.
MAX_PAGE_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scrolling:
    """Through a page's window and the boxes in it that scroll, step by step."""

    # Pixels; None: most of the height of what is scrolled.
    step: int | None = None
    # Seconds that more has to come at the end.
    wait: float = 3.0
    # CSS: done as soon as it matches.
    until: str | None = None
    # At most.
    steps: int = 1000


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What is done with a page before it is read, in this order, and its bounds."""

    # CSS: the page is ready when it matches.
    wait_for: str | None = None
    scroll: Scrolling | None = None
    # Canonical steps.
    steps: Sequence[Json] = ()
    max_bytes: int = 50 * 1024 * 1024
    # All of it within these.
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """What the browser shows once the page is ready."""

    # After redirects.
    url: str
    # Of the main document; 0: none.
    status: int
    # After scripts; open shadow roots and frames of the same origin stand in it where a reader sees them.
    html: str
    # Whether `html` stops at the bound.
    cut: bool = False
    # What the browser decoded the page by (a WHATWG name): its links' queries are written in it.
    charset: str = "UTF-8"
    # What did not come, or was stopped before its end.
    problems: Problems = field(default_factory=Problems)
    # Of the main document's headers those in `TOLD_HEADERS` that it has, name by name in lower case.
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)


class RenderSession(Protocol):
    """The browser of one run; it loads as many pages at once as it has tabs."""

    async def load(self, url: str, options: PageOptions) -> RenderedPage:
        """Open `url` and do with it what `options` say. Raises ExecutorError."""


class Renderer(Protocol):
    """Makes sessions. `options`: those of `browser_options`, `proxy` and `tabs`, where the run sets them."""

    def session(self, context: RunContext, options: Mapping[str, Json]) -> AbstractAsyncContextManager[RenderSession]:
        """A session with a fresh browser context, closed at the end."""
