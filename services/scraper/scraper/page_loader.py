"""How a scrape run gets its pages. Owns: HTTP or browser, retries, pace. Must not know items.

Reading a page (parsing and selectors) happens in threads: a slow selector then holds up its own run alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor as Pool
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from lxml import etree

from scraper.addresses import AddressGuard, shown_url
from scraper.documents import Document, parse_document
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.fetch import PRIVATE_HEADERS, Fetched, FetchFailed, FetchRequest, FetchSession, same_origin
from scraper.politeness import HostPace, Politeness, is_slowing, retry_after_seconds
from scraper.rendering import Renderer, RenderSession
from scraper.scrape_definition import ScrapeDefinition

T = TypeVar("T")
READ_SECONDS = 30
# How often a page is asked for when the host is overloaded, or when no usable answer came.
SLOWED_TRIES = 5
FAILED_TRIES = 3
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
# After so many pages that a browser made nothing of, it isn't tried for their kind any more.
BROWSER_TRIES = 3
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,application/json;q=0.9,*/*;q=0.5"


class PageFailed(ExecutorError):
    """A page that could not be had; the run goes on without it."""

    def __init__(self, url: str, error: ExecutorError, status: int | None = None) -> None:
        super().__init__(error.message, code=error.code, retryable=error.retryable)
        self.url, self.status = url, status


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What was read from a page, where it was in the end, and how it was had (http, browser)."""

    url: str
    read: T
    modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """How to read a kind of page (`list`, `detail`), and whether what was read is something."""

    kind: str
    read: Callable[[Document], T]
    found: Callable[[T], bool]


class Browser:
    """The browser of one run, opened when it is first needed. Pages are loaded one at a time."""

    def __init__(self, renderer: Renderer, context: RunContext, options: Mapping[str, Json]) -> None:
        self._renderer, self._context, self._options = renderer, context, options
        self._stack = AsyncExitStack()
        self._session: RenderSession | None = None
        self._turn = asyncio.Lock()

    async def load(self, url: str, definition: ScrapeDefinition) -> tuple[str, int, str]:
        """URL, status and HTML of the rendered page."""
        async with self._turn:
            if self._session is None:
                manager = self._renderer.session(self._context, self._options)
                self._session = await self._stack.enter_async_context(manager)
            page = await self._session.load(
                url,
                wait_for=definition.wait_for,
                scroll=definition.scroll,
                steps=definition.steps,
                timeout_seconds=definition.page_seconds,
            )
            return page.url, page.status, page.html

    async def close(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()


class PageLoader:
    """Loads the pages of one run."""

    def __init__(
        self,
        *,
        context: RunContext,
        definition: ScrapeDefinition,
        session: FetchSession,
        guard: AddressGuard,
        politeness: Politeness,
        browser: Browser | None,
        pool: Pool,
        modes: dict[str, str],
    ) -> None:
        self._context, self._definition = context, definition
        self._session, self._guard, self._politeness = session, guard, politeness
        self._browser, self._pool, self._modes = browser, pool, modes
        self._in_vain: dict[str, int] = {}
        self._trusted = [urlsplit(url) for url in definition.start_urls[:100]]
        self.rendered = 0

    async def load(self, url: str, reading: Reading[T]) -> Page[T]:
        """Load and read one page. Raises PageFailed."""
        try:
            self._guard.check_url(url)
            await self._politeness.check(url)
            return await self._load(url, reading)
        except (PageFailed, InvalidParameters):
            raise
        except ExecutorError as error:
            raise PageFailed(url, error) from error

    async def _load(self, url: str, reading: Reading[T]) -> Page[T]:
        mode = self._definition.render
        if mode == "browser" or (mode == "auto" and self._modes.get(reading.kind) == "browser"):
            if self._browser is None:
                raise ExecutorError("this worker has no browser", code="NO_BROWSER")
            final_url, read = await self._render(self._browser, url, reading)
            return Page(final_url, read, ("browser",))
        answer = await self._fetch(url)
        document, read = await self._read(answer.text, answer.url, answer.content_type, reading)
        if mode == "http" or reading.found(read) or not self._may_help(document, reading.kind):
            return Page(answer.url, read, ("http",))
        assert self._browser is not None
        final_url, rendered = await self._render(self._browser, url, reading)
        if not reading.found(rendered):
            self._in_vain[reading.kind] = self._in_vain.get(reading.kind, 0) + 1
            return Page(answer.url, read, ("http", "browser"))
        self._modes[reading.kind] = "browser"
        self._context.log("info", f"{shown_url(url)} needs a browser: {reading.kind} pages are rendered from now on")
        return Page(final_url, rendered, ("http", "browser"))

    def _may_help(self, document: Document, kind: str) -> bool:
        return self._browser is not None and document.has_scripts and self._in_vain.get(kind, 0) < BROWSER_TRIES

    async def _fetch(self, url: str) -> Fetched:
        pace = self._politeness.pace_of(url)
        request = FetchRequest(
            url,
            headers=(("Accept", ACCEPT), *self._headers_for(url)),
            timeout_seconds=self._definition.page_seconds,
            follow=self._politeness.check,
        )
        tries = 0
        while True:
            tries += 1
            try:
                async with pace.turn():
                    answer = await self._session.fetch(request)
            except FetchFailed:
                if tries >= FAILED_TRIES:
                    raise
                pace.slow_down(None)
                continue
            if answer.status in RETRIED and tries < (SLOWED_TRIES if is_slowing(answer) else FAILED_TRIES):
                self._slow_down(pace, url, answer)
                continue
            return self._checked(url, answer, pace)

    def _slow_down(self, pace: HostPace, url: str, answer: Fetched) -> None:
        seconds = pace.slow_down(retry_after_seconds(answer))
        host = urlsplit(url).hostname
        self._context.log("warn", f"{host} answered {answer.status}: nothing is sent to it for {seconds:.1f} s")

    def _checked(self, url: str, answer: Fetched, pace: HostPace) -> Fetched:
        if answer.status >= 400:
            retryable = answer.status in RETRIED
            error = ExecutorError(
                f"HTTP {answer.status} {answer.reason}".strip(), code="HTTP_STATUS", retryable=retryable
            )
            raise PageFailed(url, error, answer.status)
        if answer.truncated:
            raise PageFailed(
                url, ExecutorError(f"larger than {len(answer.body)} bytes", code="PAGE_TOO_LARGE", retryable=False)
            )
        pace.answered(answer.seconds)
        return answer

    def _headers_for(self, url: str) -> list[tuple[str, str]]:
        # Credentials go only to the sites that the definition itself begins with.
        parts = urlsplit(url)
        trusted = any(same_origin(parts, other) for other in self._trusted)
        return [
            (name, value)
            for name, value in self._definition.headers.items()
            if trusted or name.lower() not in PRIVATE_HEADERS
        ]

    async def _render(self, browser: Browser, url: str, reading: Reading[T]) -> tuple[str, T]:
        await self._guard.check_host(urlsplit(url).hostname or "")
        pace = self._politeness.pace_of(url)
        async with pace.turn():
            final_url, status, html = await browser.load(url, self._definition)
        self.rendered += 1
        if status in (429, 503):
            pace.slow_down(None)
        if status >= 400:
            raise PageFailed(url, ExecutorError(f"HTTP {status}", code="HTTP_STATUS"), status)
        _, read = await self._read(lambda: html, final_url, "text/html", reading)
        return final_url, read

    async def _read(
        self, text: Callable[[], str], url: str, content_type: str, reading: Reading[T]
    ) -> tuple[Document, T]:
        def work() -> tuple[Document, T]:
            document = parse_document(text(), url=url, content_type=content_type)
            return document, reading.read(document)

        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except TimeoutError as error:
            # Ends the run: every further page would keep one more thread busy.
            message = f"reading {shown_url(url)} took more than {READ_SECONDS} s: the selectors cost too much"
            raise InvalidParameters(message, field="items") from error
        except (etree.LxmlError, RecursionError, ValueError) as error:
            # What a stranger's page makes of a stranger's selector costs that page, not the run.
            raise ExecutorError(f"the page could not be read: {error}", code="BAD_PAGE", retryable=False) from error
