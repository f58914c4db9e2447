"""A tab that pages are read in, one after the other. Owns: loading, when a page is ready, and when a new tab is due.

Must not know runs.

A page without scripts is ready with its document. One with scripts is ready when what they asked for has come and the
document has not changed for a moment: that is looked at, not waited out.
"""

import asyncio

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, Response

from scraper.browser_lease import HeldBrowser
from scraper.egress import PROXY_ERROR, navigation_failure
from scraper.page_activity import PageActivity
from scraper.page_scrolling import scroll_through
from scraper.page_trees import look_at, matches
from scraper.problems import PAGE_CUT, Problems
from scraper.rendering import MAX_PAGE_BYTES, TOLD_HEADERS, PageOptions, RenderedPage

# Chromium collects late: with each page a tab's renderer grows by a megabyte and gets slower. A new one begins small.
PAGES_IN_A_TAB = 20
# A page that is still busy after so long is read as it is.
READY_SECONDS = 3.0
# Of a page's time: for what it waits for, and for scrolling; the rest is for reading it, which is worth having anyway.
WAIT_SHARE, SCROLL_SHARE = 0.6, 0.85
# How often frames are looked into for what is waited for.
_FRAMES_SECONDS = 0.1


async def told_headers(response: Response | None) -> dict[str, list[str]]:
    """The headers of an answer that `RenderedPage` tells; nothing is asked of the browser where there are none."""
    if response is None:
        return {}
    return {name: await response.header_values(name) for name in TOLD_HEADERS if name in response.headers}


class Tab:
    """One tab of a lease."""

    def __init__(self, lease: HeldBrowser) -> None:
        self._lease = lease
        self._page: Page | None = None
        self._loads = 0
        self._activity = PageActivity()
        # Of the last navigation that the proxy could not make; after redirects it is not the one asked for.
        self._unreachable = ""

    async def load(self, url: str, options: PageOptions) -> RenderedPage:
        """Load `url` and read it when it is ready. The caller bounds the time."""
        if self._loads >= PAGES_IN_A_TAB:
            await self.close()
        page = await self._opened()
        self._loads += 1
        self._activity.forget()
        deadline = asyncio.get_running_loop().time() + options.timeout_seconds
        response = await page.goto(url, wait_until="domcontentloaded", timeout=options.timeout_seconds * 1000)
        most = min(options.max_bytes, MAX_PAGE_BYTES)
        seen, problems = await look_at(page, most, unless_scripted=True), Problems()
        if seen.scripted or options.wait_for or options.scroll:
            await make_ready(page, self._activity, options, deadline, problems, scripted=seen.scripted)
            seen = await look_at(page, most)
        headers = await told_headers(response)
        status = response.status if response else 0
        return RenderedPage(
            seen.url, status, seen.html, cut=seen.cut, charset=seen.charset, problems=problems, headers=headers
        )

    async def close(self) -> None:
        """Close it; the next load opens another one."""
        page, self._page = self._page, None
        if page is not None:
            await page.close()

    def failure(self, error: PlaywrightError) -> tuple[str, str] | None:
        """Words and code for a navigation that the proxy did not let through or could not make."""
        return navigation_failure(str(error), self._unreachable, self._lease.why)

    async def _opened(self) -> Page:
        if self._page is None or self._page.is_closed():
            self._page = page = await self._lease.new_page()
            self._loads = 0
            self._activity = PageActivity()
            self._activity.watch(page)
            page.on("requestfailed", self._failed)
        return self._page

    def _failed(self, request: Request) -> None:
        if request.failure and PROXY_ERROR in request.failure and request.is_navigation_request():
            self._unreachable = request.url


async def make_ready(
    page: Page, activity: PageActivity, options: PageOptions, deadline: float, problems: Problems, *, scripted: bool
) -> None:
    """Wait for the page and scroll it, as `options` say; what did not come or to an end is a problem."""
    seconds = options.timeout_seconds
    if options.wait_for:
        if not await await_selector(page, options.wait_for, seconds * WAIT_SHARE):
            message = f"{options.wait_for} did not come in {seconds * WAIT_SHARE:g} s; the page was read as it was"
            problems.note(PAGE_CUT, "wait_for", message, url=page.url)
    elif scripted and not await activity.settle(page, min(READY_SECONDS, seconds * WAIT_SHARE)):
        message = "the page was still asking for more, and was read as it was: wait_for can say when it is ready"
        problems.note(PAGE_CUT, "ready", message, url=page.url)
    if options.scroll is not None:
        scrolled = await scroll_through(page, activity, options.scroll, deadline - seconds * (1 - SCROLL_SHARE))
        if scrolled.stopped:
            message = f"scrolling was stopped after {scrolled.steps} steps: {scrolled.stopped}"
            problems.note(PAGE_CUT, "scroll", message, url=page.url)
        if scrolled.gone:
            message = f"{scrolled.gone} texts were taken away by the page while it was scrolled, and were not read"
            problems.note(PAGE_CUT, "scroll.removed", message, url=page.url)


async def await_selector(page: Page, selector: str, seconds: float) -> bool:
    """Whether the selector matches within the time, in the page or in a frame that is read with it."""
    waiting = asyncio.ensure_future(
        page.wait_for_selector(f"css={selector}", state="attached", timeout=max(seconds * 1000, 1))
    )
    try:
        while not (await asyncio.wait({waiting}, timeout=_FRAMES_SECONDS))[0]:
            if len(page.frames) > 1 and await matches(page, selector):
                return True
        await waiting
    except PlaywrightError as error:
        if "Timeout" not in str(error):
            raise
        return False
    finally:
        waiting.cancel()
    return True
