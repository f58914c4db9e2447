"""How a scrape run gets its pages. Owns: HTTP or browser. Must not know items or retries."""

from dataclasses import dataclass
from typing import Generic
from urllib.parse import urlsplit

from chassis.clock import now_ms
from chassis.retry_after import retry_after

from scraper.addresses import AddressGuard, shown_url
from scraper.exchanges import Fetched
from scraper.executor import ExecutorError, InvalidParameters, Json, Parked, RunContext
from scraper.fetch import FetchSession
from scraper.host_pace import HostPaused
from scraper.known_pages import PageMemory
from scraper.page_browser import PageBrowser
from scraper.page_readers import ReadPage, RunReader
from scraper.page_requests import PageFailed, PageRequests
from scraper.politeness import Politeness
from scraper.problems import OPTION_IGNORED
from scraper.reading import Evidence, Reading, Source, T, Worth
from scraper.render_choice import RenderChoices
from scraper.scrape_definition import ScrapeDefinition

NO_TEXT = ("image/", "video/", "audio/", "font/", "application/pdf", "application/zip", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What was read from a page, where it was in the end, and how it was had (http, browser, unchanged).

    `nofollow`: the answer's headers ask crawlers not to follow its links.
    """

    url: str
    read: T
    modes: tuple[str, ...]
    nofollow: bool = False
    # What of it did not come before it was read (`Problems.to_json`).
    problems: tuple[Json, ...] = ()


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
        browser: PageBrowser | None,
        reader: RunReader,
        choices: RenderChoices,
        memory: PageMemory | None = None,
    ) -> None:
        self._context, self._definition = context, definition
        self._guard, self._politeness = guard, politeness
        self._browser, self._reader, self.choices, self._memory = browser, reader, choices, memory
        self._requests = PageRequests(context, definition, session, politeness)
        self._kinds: dict[str, bool] = {}
        self.rendered = 0
        self.unchanged = 0

    async def load(self, url: str, reading: Reading[T]) -> Page[T]:
        """Load and read one page. Raises PageFailed, or Parked when the host wants a longer pause than a run waits."""
        try:
            await self._politeness.check(url)
            self._kinds[reading.kind] = True
            return await self._load(url, reading)
        except (PageFailed, InvalidParameters):
            raise
        except HostPaused as pause:
            raise _parked(pause) from pause
        except ExecutorError as error:
            raise PageFailed(url, error) from error

    async def fetch_file(self, url: str, max_bytes: int) -> Fetched:
        """An answer that isn't to be read as a page (a sitemap). Raises as `load` does."""
        try:
            self._guard.check_url(url)
            await self._politeness.check(url)
            return await self._requests.file(url, max_bytes)
        except PageFailed:
            raise
        except HostPaused as pause:
            raise _parked(pause) from pause
        except ExecutorError as error:
            raise PageFailed(url, error) from error

    async def sitemaps_of(self, url: str) -> list[str]:
        """The sitemaps that the robots.txt of the host of `url` names."""
        try:
            return await self._politeness.sitemaps_of(url)
        except HostPaused as pause:
            raise _parked(pause) from pause
        except ExecutorError as error:
            raise PageFailed(url, error) from error

    def rendering(self) -> Json:
        """For the result: how each kind of page was had, and why."""
        if self._definition.render != "auto":
            why = f"the definition says render: {self._definition.render}"
            return {kind: {"mode": self._definition.render, "why": why} for kind in sorted(self._kinds)}
        return self.choices.shown(self._kinds)

    async def _load(self, url: str, reading: Reading[T]) -> Page[T]:
        mode = self._definition.render
        if mode == "browser" or (mode == "auto" and self.choices.modes.get(reading.kind) == "browser"):
            if self._browser is None:
                raise ExecutorError("this worker has no browser", code="NO_BROWSER")
            return await self._render(self._browser, url, reading, ("browser",))
        known = await self._memory.find(url, reading.kind) if self._memory is not None else None
        answer = await self._requests.page(url, conditions=known.conditions if known is not None else ())
        if known is not None and answer.status == 304:
            self.unchanged += 1
            return Page(known.url, reading.restore(known.read), ("unchanged",))
        has = await self._read(self._source_of(answer), reading, look=mode == "auto" and self._browser is not None)
        worth = reading.worth(has.read)
        if mode == "auto" and (page := await self._look(url, reading, has.evidence, worth)) is not None:
            return page
        if not worth.something and answer.sends_on is not None:
            answer = await self._send_on(answer.sends_on)
            has = await self._read(self._source_of(answer), reading, look=False)
            worth = reading.worth(has.read)
        nofollow = self._definition.robots and self._politeness.header_says_nofollow(
            answer.headers.getall("X-Robots-Tag", ())
        )
        # What a later 304 restores has no headers, so such a page is read anew each time.
        whole = not (answer.truncated or answer.incomplete)
        if self._memory is not None and worth.something and whole and not nofollow:
            await self._memory.keep(url, reading.kind, answer, has.raw)
        return Page(answer.url, has.read, ("http",), nofollow)

    async def _send_on(self, url: str) -> Fetched:
        """Where a page with nothing in it sends readers that run no scripts."""
        await self._politeness.check(url)
        return await self._requests.page(url)

    def _source_of(self, answer: Fetched) -> Source:
        content_type = answer.headers.get("Content-Type", "")
        return Source(answer.url, answer.body, content_type, self._definition.charset, _cut(answer))

    async def _look(self, url: str, reading: Reading[T], evidence: Evidence, worth: Worth) -> Page[T] | None:
        """The page as a browser has it, where that is more; None: what HTTP brought is as good."""
        if self._browser is None or (doubt := self.choices.doubt(reading.kind, worth, evidence)) is None:
            return None
        try:
            page = await self._render(self._browser, url, reading, ("http", "browser"))
        except ExecutorError as error:
            if not worth.something:
                raise
            # What is there already is worth more than a failed page.
            self._context.log("warn", f"A browser could not look at {shown_url(url)}: {error.message}")
            return None
        if self.choices.compare(reading.kind, doubt, worth, reading.worth(page.read)):
            reason = self.choices.reasons[reading.kind]
            self._context.log(
                "info",
                f"{shown_url(url)} needs a browser: {reading.kind} pages are rendered from now on ({reason})",
                url=url,
            )
            return page
        self._context.log("info", f"{shown_url(url)}: {self.choices.reasons[reading.kind]}", url=url)
        return page if not worth.something else None

    async def _render(self, browser: PageBrowser, url: str, reading: Reading[T], modes: tuple[str, ...]) -> Page[T]:
        self._guard.check_url(url)
        await self._guard.check_host(urlsplit(url).hostname or "")
        pace = await self._politeness.pace_of(url)
        async with pace.turn():
            loaded = await browser.load(url, self._definition)
        self.rendered += 1
        if loaded.status in (429, 503):
            asked = loaded.headers.get("retry-after", ())
            pace.host.slow_down(retry_after({"Retry-After": asked[0]}) if asked else None)
        if loaded.status >= 400:
            raise PageFailed(url, ExecutorError(f"HTTP {loaded.status}", code="HTTP_STATUS"), loaded.status)
        # The text is Unicode by now; queries go out in the encoding that the page was written in.
        written_in = self._definition.charset or loaded.charset
        body = loaded.html.encode(errors="replace")
        cut = _longer(len(body)) if loaded.cut else ""
        source = Source(loaded.url, body, "text/html; charset=utf-8", cut=cut, written_in=written_in)
        has = await self._read(source, reading, look=False)
        says_no = self._politeness.header_says_nofollow(loaded.headers.get("x-robots-tag", ()))
        nofollow = self._definition.robots and says_no
        if self._definition.headers:
            loaded.problems.note(
                OPTION_IGNORED, "headers", "rendered pages are loaded without the definition's headers"
            )
        return Page(loaded.url, has.read, modes, nofollow, problems=tuple(loaded.problems.to_json()))

    async def _read(self, source: Source, reading: Reading[T], *, look: bool) -> ReadPage[T]:
        if source.media_type.startswith(NO_TEXT):
            raise ExecutorError(f"{source.media_type} is no page", code="NOT_A_PAGE", retryable=False)
        return await self._reader.read(source, reading, look=look)


def _parked(pause: HostPaused) -> Parked:
    return Parked(str(pause), resume_at_ms=now_ms() + int(pause.seconds * 1000), code="HOST_PAUSED")


def _cut(answer: Fetched) -> str:
    size = len(answer.body)
    if answer.truncated:
        return _longer(size)
    return f"the packed page ends early: its first {size} bytes were read" if answer.incomplete else ""


def _longer(size: int) -> str:
    return f"the page is longer than limits.page_bytes: its first {size} bytes were read"


__all__ = ["Page", "PageFailed", "PageLoader"]
