"""How a run asks for a page over HTTP. Owns: headers, pace, and when it asks again. Must not know browsers or readings.

What won't change is not asked again: a final status, or an answer that can't be read. An answer that was cut or came
too late costs its own page time, not its host; a host that is overloaded or can't be reached is left alone for a while.
"""

import asyncio
from urllib.parse import urlsplit

from chassis.retry_after import retry_after

from scraper.exchanges import Fetched, FetchFailed, FetchRequest
from scraper.executor import ExecutorError, RunContext
from scraper.fetch import PRIVATE_HEADERS, FetchSession, same_origin
from scraper.politeness import Politeness, RunPace, is_slowing
from scraper.scrape_definition import ScrapeDefinition

# How often a page is asked for when the host is overloaded, or when no usable answer came.
SLOWED_TRIES = 5
FAILED_TRIES = 3
# Before an answer that was cut is asked for again: this, and twice as long each further time.
FIRST_WAIT_SECONDS = 0.25
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,application/json;q=0.9,*/*;q=0.5"


class PageFailed(ExecutorError):
    """A page that could not be had; the run goes on without it."""

    def __init__(self, url: str, error: ExecutorError, status: int | None = None) -> None:
        super().__init__(error.message, code=error.code, retryable=error.retryable)
        self.url, self.status = url, status


class PageRequests:
    """The requests of one run."""

    def __init__(
        self, context: RunContext, definition: ScrapeDefinition, session: FetchSession, politeness: Politeness
    ) -> None:
        self._context, self._definition = context, definition
        self._session, self._politeness = session, politeness
        self._trusted = [urlsplit(url) for url in definition.first_urls[:100]]
        self._headers: dict[str, tuple[tuple[str, str], ...]] = {}

    async def page(self, url: str, *, conditions: tuple[tuple[str, str], ...] = ()) -> Fetched:
        """The answer that is the page at `url`, after redirects and pages that send on. Raises as `file`."""
        return await self._fetch(
            url,
            self._definition.limits.page_bytes,
            conditions=conditions,
            refresh=True,
            charset=self._definition.charset,
        )

    async def file(self, url: str, max_bytes: int) -> Fetched:
        """An answer that isn't to be read as a page. Raises PageFailed, FetchFailed, HostPaused."""
        return await self._fetch(url, max_bytes)

    async def _fetch(
        self,
        url: str,
        max_bytes: int,
        *,
        conditions: tuple[tuple[str, str], ...] = (),
        refresh: bool = False,
        charset: str | None = None,
    ) -> Fetched:
        pace = await self._politeness.pace_of(url)
        request = FetchRequest(
            url,
            headers=(*self._headers_for(url), *conditions),
            timeout_seconds=self._definition.page_seconds,
            follow=self._politeness.check,
            max_bytes=max_bytes,
            refresh=refresh,
            charset=charset,
        )
        tries = 0
        while True:
            tries += 1
            try:
                async with pace.turn():
                    answer = await self._session.fetch(request)
            except FetchFailed as error:
                if tries >= FAILED_TRIES or not error.retryable:
                    raise
                await self._wait_after(error, pace, tries)
                continue
            if answer.status in RETRIED and tries < (SLOWED_TRIES if is_slowing(answer) else FAILED_TRIES):
                self._slow_down(pace, url, answer)
                continue
            return _checked(url, answer, pace)

    async def _wait_after(self, error: FetchFailed, pace: RunPace, tries: int) -> None:
        if error.code == "FETCH_TIMEOUT":
            pace.host.answered(self._definition.page_seconds)
        elif error.code in ("ANSWER_CUT", "CONNECTION_LOST"):
            await asyncio.sleep(FIRST_WAIT_SECONDS * 2 ** (tries - 1))
        else:
            pace.host.slow_down(None)

    def _slow_down(self, pace: RunPace, url: str, answer: Fetched) -> None:
        seconds = pace.host.slow_down(retry_after(answer.headers))
        host = urlsplit(url).hostname
        self._context.log("warn", f"{host} answered {answer.status}: nothing is sent to it for {seconds:.1f} s")

    def _headers_for(self, url: str) -> tuple[tuple[str, str], ...]:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if (made := self._headers.get(origin)) is None:
            # Credentials go only to the sites that the definition itself begins with.
            trusted = any(same_origin(parts, other) for other in self._trusted)
            own = [
                (name, value)
                for name, value in self._definition.headers.items()
                if trusted or name.lower() not in PRIVATE_HEADERS
            ]
            made = self._headers[origin] = (("Accept", ACCEPT), *own)
        return made


def _checked(url: str, answer: Fetched, pace: RunPace) -> Fetched:
    if answer.status >= 400:
        error = ExecutorError(
            f"HTTP {answer.status} {answer.reason}".strip(), code="HTTP_STATUS", retryable=answer.status in RETRIED
        )
        raise PageFailed(url, error, answer.status)
    pace.host.answered(answer.seconds)
    return answer
