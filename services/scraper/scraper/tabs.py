"""The tab that a run works in. Owns: which page is the current one, and whether it has moved. Must not know steps."""

import asyncio

from chassis.logs import get_logger
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from scraper.browser import BrowserLease
from scraper.step_error import StepError

log = get_logger("tabs")


class Tabs:
    """Follows the tabs that clicks open, while `follow` is set."""

    def __init__(self, lease: BrowserLease) -> None:
        self._lease = lease
        self._page: Page | None = None
        self.follow = False
        # Counts every change of a current page's address, in-page ones included.
        self.navigations = 0
        # Counts the tabs that were followed.
        self.followed = 0

    async def open(self) -> None:
        """Make sure that there is a page."""
        if self._page is None:
            self._take(await self._lease.context.new_page())

    @property
    def page(self) -> Page:
        """The page to work in; when it has closed itself, the newest other one."""
        if self._page is None or self._page.is_closed():
            pages = [page for page in self._lease.context.pages if not page.is_closed()]
            if not pages:
                raise StepError("the page has closed itself", code="PAGE_CLOSED")
            self._take(pages[-1])
        assert self._page is not None
        return self._page

    async def settle(self) -> None:
        """Wait, a few seconds at most, until the current page's document is there."""
        try:
            await self.page.wait_for_load_state("domcontentloaded", timeout=5000)
        except PlaywrightError as error:
            log.debug("the page did not settle", error=str(error)[:200])

    async def await_followed(self, before: int, seconds: float) -> None:
        """Wait until another tab was followed than at `before`, or the time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.followed == before and loop.time() < end:  # noqa: ASYNC110  bounded by seconds
            await asyncio.sleep(0.02)

    def _take(self, page: Page) -> None:
        self._page = page
        page.on("popup", self._popup)
        page.on("framenavigated", self._navigated)

    def _popup(self, page: Page) -> None:
        if self.follow:
            self.followed += 1
            self.navigations += 1
            self._take(page)

    def _navigated(self, frame: Frame) -> None:
        if frame.parent_frame is None:
            self.navigations += 1
