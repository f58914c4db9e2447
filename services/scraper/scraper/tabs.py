"""The tab that a run works in. Owns: which page is the current one, and whether it has moved. Must not know steps."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from chassis.logs import get_logger
from playwright.async_api import ConsoleMessage, Frame, Page, Request
from playwright.async_api import Error as PlaywrightError

from scraper.browser_lease import HeldBrowser
from scraper.egress import PROXY_ERROR, navigation_failure
from scraper.step_error import StepError

log = get_logger("tabs")

# So many arrivals are remembered.
MAX_ARRIVALS = 500
# How long a click may take to show that it leads to another page, and how long that page may take to begin.
START_SECONDS = 0.05
LIKELY_SECONDS = 1.0
ARRIVE_SECONDS = 10.0


class Tabs:
    """Follows the tabs that clicks open, while `follow` is set."""

    def __init__(self, lease: HeldBrowser) -> None:
        self._lease = lease
        self._page: Page | None = None
        # The tab that the run began in.
        self._main: Page | None = None
        self.follow = False
        self._watched: set[Page] = set()
        self._left: set[Page] = set()
        self._moving: set[Request] = set()
        # Of the last navigation that the proxy could not make; after redirects it is not the one asked for.
        self._unreachable = ""
        # Counts every change of a current page's address, in-page ones included.
        self.navigations = 0
        # Counts the documents and addresses that frames of watched tabs have come to; the newest are remembered.
        self.arrivals = 0
        self._arrived: deque[tuple[Frame, str]] = deque(maxlen=MAX_ARRIVALS)
        # Counts the tabs that were followed.
        self.followed = 0
        # Told of (kind, text, address) when a page complains: console errors, uncaught exceptions.
        self.on_trouble: Callable[[str, str, str], None] = lambda _kind, _text, _url: None
        # Top-level origins that the run has been on, in order.
        self.origins: dict[str, None] = {}

    async def open(self) -> None:
        """Make sure that there is a page."""
        if self._page is None:
            self._main = await self._lease.new_page()
            self._take(self._main)

    @property
    def page(self) -> Page:
        """The page to work in; when it has closed itself, the newest other one."""
        if self._page is None or self._page.is_closed():
            pages = self.all()
            if not pages:
                raise StepError("the page has closed itself", code="PAGE_CLOSED")
            self._take(pages[-1])
        assert self._page is not None
        return self._page

    def all(self) -> list[Page]:
        """Every open tab, the run's first one before those that were there already or came later."""
        pages = [page for page in self._lease.context.pages if not page.is_closed() and page not in self._left]
        return sorted(pages, key=lambda page: page is not self._main)

    def leave(self, page: Page) -> None:
        """It is being closed, which takes a while: it counts no longer."""
        self._left.add(page)

    def arrived_since(self, arrivals: int) -> list[tuple[Frame, str]]:
        """The frames that have come to an address since `arrivals` was so, with that address."""
        new = min(self.arrivals - arrivals, len(self._arrived))
        return list(self._arrived)[len(self._arrived) - new :]

    async def take(self, page: Page) -> None:
        """Make another tab the current one."""
        if page is not self._page:
            self._take(page)
            await page.bring_to_front()

    async def settle(self) -> None:
        """Wait, a few seconds at most, until the current page's document is there."""
        try:
            await self.page.wait_for_load_state("domcontentloaded", timeout=5000)
        except PlaywrightError as error:
            log.debug("the page did not settle", error=str(error)[:200])

    async def arrive(self, before: int, deadline: float, *, likely: bool) -> None:
        """After a click or key: when the page is on its way to another one, wait for that one's document.

        `before` is `navigations` as it was; `likely` gives the page longer to start (a link, a form's button).
        """
        loop = asyncio.get_running_loop()
        end = min(deadline, loop.time() + (LIKELY_SECONDS if likely else START_SECONDS))
        while not self._moving and self.navigations == before and loop.time() < end:  # noqa: ASYNC110  bounded by end
            await asyncio.sleep(0.02)
        if not self._moving and self.navigations == before:
            return
        end = min(deadline, loop.time() + ARRIVE_SECONDS)
        while self._moving and loop.time() < end:  # noqa: ASYNC110  bounded by end
            await asyncio.sleep(0.02)
        await self.settle()

    async def await_followed(self, before: int, seconds: float) -> None:
        """Wait until another tab was followed than at `before`, or the time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.followed == before and loop.time() < end:  # noqa: ASYNC110  bounded by seconds
            await asyncio.sleep(0.02)

    def _take(self, page: Page) -> None:
        self._page = page
        if page in self._watched:
            return
        self._watched.add(page)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.on_trouble("exception", error.message, page.url))
        page.on("popup", self._popup)
        page.on("framenavigated", self._navigated)
        page.on("request", self._asked)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)
        page.on("close", lambda _: self._moving.clear())

    def _popup(self, page: Page) -> None:
        if self.follow:
            self.followed += 1
            self.navigations += 1
            self._take(page)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.on_trouble("console", message.text, str(message.location.get("url", "")))

    def _asked(self, request: Request) -> None:
        if not request.is_navigation_request():
            return
        # Playwright has no frame yet for the first request of a new tab; `settle` waits for those.
        with contextlib.suppress(PlaywrightError):
            if request.frame.parent_frame is None:
                self._moving.add(request)

    def _ended(self, request: Request) -> None:
        self._moving.discard(request)
        if request.failure and request.is_navigation_request() and PROXY_ERROR in request.failure:
            self._unreachable = request.url

    def navigation_failure(self, error: PlaywrightError) -> tuple[str, str] | None:
        """Words and code for a navigation that the proxy did not let through or could not make."""
        return navigation_failure(str(error), self._unreachable, self._lease.why)

    def _navigated(self, frame: Frame) -> None:
        self.arrivals += 1
        self._arrived.append((frame, frame.url))
        if frame.parent_frame is None:
            parts = urlsplit(frame.url)
            if parts.scheme in ("http", "https"):
                self.origins[f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"] = None
            self.navigations += 1
            self._moving.clear()
