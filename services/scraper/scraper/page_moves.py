"""Actions that move about: navigate, scroll, and which tab or frame is the current one."""

import asyncio
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from scraper import step_kinds as kinds
from scraper.page_tools import PageTools, left_ms, now
from scraper.step_addresses import holds_address
from scraper.step_error import StepError
from scraper.tabs import Tabs

_ENTER_SECONDS = 3.0
# What stands in for the page, or a frame's page, when it is scrolled.
_WHOLE = "css=:root"
# Answers how far the place is from where it was to be, in whole pixels; a page that may still grow is asked again.
_SCROLL_TO = """(element, {x, y}) => {
  const whole = element === document.documentElement || element === document.body;
  (whole ? window : element).scrollTo({left: x, top: y, behavior: 'instant'});
  const stands = whole ? [window.scrollX, window.scrollY] : [element.scrollLeft, element.scrollTop];
  return [Math.round(stands[0]), Math.round(stands[1])];
}"""
_SCROLL_BY = "(_, y) => window.scrollBy({top: y, behavior: 'instant'})"
_GROW_SECONDS = 1.0


class PageMoves:
    """The moves of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def navigate(self, step: kinds.Navigate, deadline: float) -> None:
        """Open an address: in the tab, or in the frame of another site that the steps have switched to."""
        before = self._tools.tabs.navigations
        if not isinstance(self._tools.finder.frame, Frame):
            self._tools.finder.frame = None
        await self._navigate(step, deadline)
        self._tools.before_move = before

    async def _navigate(self, step: kinds.Navigate, deadline: float) -> None:
        url = self._tools.address_of(self._tools.scope.text(step.url))
        if step.unless_navigated and await self._navigated_by_itself(url, deadline):
            self._tools.log("info", "left out, the step before has led there")
            return
        frame = self._tools.finder.frame
        place: Page | Frame = frame if isinstance(frame, Frame) else self._tools.page
        try:
            response = await place.goto(url, wait_until="domcontentloaded", timeout=left_ms(deadline))
        except PlaywrightError as error:
            if failure := self._tools.tabs.navigation_failure(error):
                message, code = failure
                raise StepError(message, code=code, fatal=code == "ADDRESS_NOT_ALLOWED") from error
            raise
        self._tools.status = response.status if response is not None else None
        if response is not None and response.status >= 400:
            self._tools.log("warn", f"the server answered {response.status}", status=response.status)

    async def _navigated_by_itself(self, url: str, deadline: float) -> bool:
        """Whether the last action moved the page within the address's site."""
        tools = self._tools
        end = min(deadline, now() + _ENTER_SECONDS)
        while tools.tabs.navigations == tools.before_move and now() < end:  # noqa: ASYNC110  bounded
            await asyncio.sleep(0.05)
        if tools.tabs.navigations == tools.before_move:
            return False
        await tools.tabs.settle()
        return urlsplit(tools.page.url).hostname == urlsplit(url).hostname

    async def scroll(self, step: kinds.Scroll, deadline: float) -> None:
        """Scroll the page, or an element into view; or either to a place in it."""
        tools = self._tools
        if step.to is not None:
            await self._scroll_to(step, step.to, deadline)
        elif step.target is not None:
            element = await tools.one(step.target, deadline)
            await element.scroll_into_view_if_needed(timeout=left_ms(deadline))
        else:
            distance = step.distance if step.direction == "down" else -step.distance
            await tools.root.locator(_WHOLE).evaluate(_SCROLL_BY, distance, timeout=left_ms(deadline))

    async def _scroll_to(self, step: kinds.Scroll, place: kinds.Point, deadline: float) -> None:
        tools = self._tools
        if step.target is None:
            element = tools.root.locator(_WHOLE)
        else:
            element = await tools.one(step.target, deadline, hidden=True)
        wanted = [max(round(place.x), 0), max(round(place.y), 0)]
        end = min(deadline, now() + _GROW_SECONDS)
        while True:
            stands = await element.evaluate(_SCROLL_TO, {"x": place.x, "y": place.y}, timeout=left_ms(deadline))
            if all(abs(one - other) <= 1 for one, other in zip(stands, wanted, strict=True)):
                return
            if now() >= end:
                tools.log("warn", f"it stands at {stands}, not at {wanted}: it reaches no further")
                return
            await asyncio.sleep(0.1)

    async def switch_tab(self, step: kinds.SwitchTab, deadline: float) -> None:
        """Go on in the tab of that number, address or title; without any of them in the newest other one."""
        scope, tabs = self._tools.scope, self._tools.tabs
        url = None if step.url is None else scope.text(step.url)
        title = None if step.title is None else scope.text(step.title)
        while True:
            self._tools.finder.frame = None
            if await _switched(tabs, step.index, url, title):
                break
            if step.frames and url is not None and await self._switched_to_frame(url):
                break
            if now() >= deadline:
                raise StepError("there is no such tab", code="TARGET_NOT_FOUND")
            await asyncio.sleep(0.05)
        await tabs.settle()

    async def _switched_to_frame(self, url: str) -> bool:
        """Whether a frame of the current tab, or else of another one, is there."""
        tabs = self._tools.tabs
        pages = sorted(tabs.all(), key=lambda page: page is not tabs.page)
        frames = [frame for page in pages for frame in page.frames if frame.parent_frame is not None]
        chosen = next((frame for frame in frames if frame.url == url), None)
        chosen = chosen or next((frame for frame in frames if holds_address(frame.url, url)), None)
        if chosen is None:
            return False
        await tabs.take(chosen.page)
        self._tools.finder.frame = chosen
        return True

    async def switch_frame(self, step: kinds.SwitchFrame, deadline: float) -> None:
        """Look for targets in that frame from now on; without target in the page itself again."""
        if step.target is None:
            self._tools.finder.frame = None
            return
        element = await self._tools.one(step.target, deadline, hidden=True)
        if not await element.evaluate("element => /^i?frame$/.test(element.localName)", timeout=left_ms(deadline)):
            raise StepError("the target is no frame", code="TARGET_NOT_FOUND")
        self._tools.finder.frame = element.content_frame


async def _switched(tabs: Tabs, index: int | None, url: str | None, title: str | None) -> bool:
    pages = tabs.all()
    if index is not None:
        chosen = pages[index] if index < len(pages) else None
    elif url is not None:
        newest = pages[::-1]
        chosen = next((page for page in newest if page.url == url), None)
        chosen = chosen or next((page for page in newest if holds_address(page.url, url)), None)
    elif title is not None:
        titles = [await page.title() for page in pages]
        chosen = next((page for page, found in zip(pages, titles, strict=True) if title in found), None)
    else:
        chosen = next((page for page in reversed(pages) if page is not tabs.page), None)
    if chosen is None:
        return False
    await tabs.take(chosen)
    return True
