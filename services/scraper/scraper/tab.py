"""A tab that pages are read in, one after the other. Owns: loading, when a page is ready, and when a new tab is due.

Must not know runs.

A page without scripts is ready with its document. One with scripts is ready when what they asked for has come and the
document has not changed for a moment: that is looked at, not waited out.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request

from scraper.browser_lease import HeldBrowser
from scraper.egress import NOT_ALLOWED, NOT_CONNECTED, PROXY_ERROR
from scraper.page_reading import MAX_HTML, scroll_to_end

# Chromium collects late: with each page a tab's renderer grows by a megabyte and gets slower. A new one begins small.
PAGES_IN_A_TAB = 20
QUIET_MS = 100
# A page that is still asking after so long is read as it is.
READY_SECONDS = 3.0
# What may bring content. Pictures and the like don't, and streams never end.
CONTENT = frozenset({"document", "script", "xhr", "fetch"})

# The document, and whether it has scripts that may change it.
_LOOK = """
most => {
  const code = [...document.scripts].some(one => !/json|template/.test(one.type));
  const scripted = code || !!document.querySelector('iframe');
  const doctype = document.doctype ? new XMLSerializer().serializeToString(document.doctype) : '';
  const html = doctype + (document.documentElement ? document.documentElement.outerHTML : '');
  return {scripted, html: html.slice(0, most), url: location.href};
}
"""
# Resolves once the document has not changed for `quiet` ms, after `most` ms at the latest; answers whether it changed.
_QUIET = """
({quiet, most}) => new Promise(resolve => {
  let changed = false, timer = setTimeout(done, quiet);
  const last = setTimeout(done, most);
  const observer = new MutationObserver(() => {
    changed = true;
    clearTimeout(timer);
    timer = setTimeout(done, quiet);
  });
  observer.observe(document, {childList: true, subtree: true, characterData: true, attributes: true});
  function done() { clearTimeout(timer); clearTimeout(last); observer.disconnect(); resolve(changed); }
})
"""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Loaded:
    """A `RenderedPage`."""

    url: str
    status: int
    html: str


class Tab:
    """One tab of a lease."""

    def __init__(self, lease: HeldBrowser) -> None:
        self._lease = lease
        self._page: Page | None = None
        self._loads = 0
        self._asking: set[Request] = set()
        self._asked = 0
        # The host of the last navigation that the proxy could not make; after redirects it is not the one asked for.
        self._unreachable = ""

    async def load(self, url: str, *, wait_for: str | None, scroll: bool, seconds: float) -> Loaded:
        """Load `url` and read it when it is ready. The caller bounds the time."""
        if self._loads >= PAGES_IN_A_TAB:
            await self.close()
        page = await self._opened()
        self._loads += 1
        self._asking.clear()
        response = await page.goto(url, wait_until="domcontentloaded", timeout=seconds * 1000)
        status = response.status if response else 0
        # A part of the time stays for reading the page, which is worth having without the selector.
        deadline = asyncio.get_running_loop().time() + seconds * 0.6
        seen = await self._look(page)
        if wait_for:
            await await_selector(page, wait_for, seconds * 0.6)
        elif seen["scripted"]:
            await self._settle(page, min(READY_SECONDS, seconds * 0.6))
        if scroll:
            await scroll_to_end(page, deadline)
        if wait_for or scroll or seen["scripted"]:
            seen = await self._look(page)
        return Loaded(seen["url"], status, seen["html"])

    async def close(self) -> None:
        """Close it; the next load opens another one."""
        page, self._page = self._page, None
        if page is not None:
            await page.close()

    def failure(self, error: PlaywrightError) -> tuple[str, str] | None:
        """Words and code for a navigation that the proxy did not let through or could not make."""
        if PROXY_ERROR not in str(error):
            return None
        why = self._lease.why(self._unreachable) or NOT_CONNECTED
        return f"{why}: {self._unreachable}", "ADDRESS_NOT_ALLOWED" if why == NOT_ALLOWED else "NAVIGATION_FAILED"

    async def _opened(self) -> Page:
        if self._page is None or self._page.is_closed():
            self._page = page = await self._lease.context.new_page()
            self._loads = 0
            page.on("request", self._begin)
            page.on("requestfinished", self._end)
            page.on("requestfailed", self._end)
        return self._page

    def _begin(self, request: Request) -> None:
        if request.resource_type in CONTENT:
            self._asked += 1
            self._asking.add(request)

    def _end(self, request: Request) -> None:
        self._asking.discard(request)
        if request.failure and PROXY_ERROR in request.failure and request.is_navigation_request():
            self._unreachable = urlsplit(request.url).hostname or ""

    async def _settle(self, page: Page, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            asked = self._asked
            try:
                async with asyncio.timeout(left + 1):
                    changed = await page.evaluate(_QUIET, {"quiet": QUIET_MS, "most": left * 1000})
            except TimeoutError:
                return
            except PlaywrightError as error:
                if "Execution context was destroyed" not in str(error):
                    raise
                continue  # The page moves on by itself; the next one is looked at.
            if not changed and not self._asking and self._asked == asked:
                return

    async def _look(self, page: Page) -> dict[str, str]:
        for attempt in range(_TRIES):
            try:
                seen: dict[str, str] = await page.evaluate(_LOOK, MAX_HTML)
            except PlaywrightError as error:
                if "Execution context was destroyed" not in str(error) or attempt == _TRIES - 1:
                    raise
                await page.wait_for_load_state("domcontentloaded")
            else:
                return seen
        raise AssertionError("unreachable")


async def await_selector(page: Page, selector: str, seconds: float) -> None:
    """Return when the selector matches, or the time is up."""
    try:
        await page.wait_for_selector(f"css={selector}", state="attached", timeout=max(seconds * 1000, 1))
    except PlaywrightError as error:
        if "Timeout" not in str(error):
            raise
