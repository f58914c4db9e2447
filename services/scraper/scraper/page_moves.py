"""Actions that move about: navigate, click, press, scroll, wait, and which tab or frame is the current one."""

import asyncio
import fnmatch
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError

from scraper import step_kinds as kinds
from scraper.page_tools import PageTools, left_ms, now
from scraper.step_error import StepError
from scraper.tabs import Tabs

# Where a click will probably lead: 'tab', 'page' or ''.
_LEADS_TO = """element => {
  const holder = element.closest('a[target], form[target]');
  if (holder && !['', '_self', '_parent', '_top'].includes(holder.target.toLowerCase())) return 'tab';
  const link = element.closest('a[href]');
  if (link) {
    const here = link.getAttribute('href').startsWith('#') || link.download;
    return !here && /^https?:/.test(link.href) ? 'page' : '';
  }
  const button = element.closest('button, input');
  return button && button.form && ['submit', 'image'].includes(button.type) ? 'page' : '';
}"""
_SUBMITS = "element => !!element && (!!element.form || element.localName === 'a')"
_TAB_SECONDS = 3.0
_ENTER_SECONDS = 3.0
_KEYS = {" ": "Space", "Esc": "Escape", "Return": "Enter", "Del": "Delete", "Up": "ArrowUp", "Down": "ArrowDown"}


class PageMoves:
    """The moves of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools
        # What `Tabs.navigations` was before the last move.
        self._before = 0

    async def navigate(self, step: kinds.Navigate, deadline: float) -> None:
        """Open an address."""
        before = self._tools.tabs.navigations
        self._tools.finder.frame = None
        await self._navigate(step, deadline)
        self._before = before

    async def click(self, step: kinds.Click, deadline: float) -> None:
        """Click once or twice, and arrive where that leads."""
        before = self._tools.tabs.navigations
        await self._click(step, deadline)
        self._before = before

    async def press(self, step: kinds.Press, deadline: float) -> None:
        """Press one key or chord."""
        before = self._tools.tabs.navigations
        await self._press(step, deadline)
        self._before = before

    async def _navigate(self, step: kinds.Navigate, deadline: float) -> None:
        url = self._tools.address_of(self._tools.scope.text(step.url))
        if step.unless_navigated and await self._navigated_by_itself(url, deadline):
            self._tools.log("info", "left out, the step before has led there")
            return
        try:
            response = await self._tools.tabs.page.goto(url, wait_until="domcontentloaded", timeout=left_ms(deadline))
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
        end = min(deadline, now() + _ENTER_SECONDS)
        while self._tools.tabs.navigations == self._before and now() < end:  # noqa: ASYNC110  bounded
            await asyncio.sleep(0.05)
        if self._tools.tabs.navigations == self._before:
            return False
        await self._tools.tabs.settle()
        return urlsplit(self._tools.tabs.page.url).hostname == urlsplit(url).hostname

    async def scroll(self, step: kinds.Scroll, deadline: float) -> None:
        """Scroll the page, or an element into view."""
        if step.target is not None:
            element = await self._tools.one(step.target, deadline)
            await element.scroll_into_view_if_needed(timeout=left_ms(deadline))
            return
        distance = step.distance if step.direction == "down" else -step.distance
        await self._tools.tabs.page.evaluate("y => window.scrollBy({top: y, behavior: 'instant'})", distance)

    async def wait_for(self, step: kinds.WaitFor, deadline: float) -> None:
        """Wait for what the step names."""
        if step.time_ms is not None:
            await asyncio.sleep(step.time_ms / 1000)
        elif step.target is not None:
            await self._tools.some(step.target, deadline)
        elif step.url is not None:
            wanted = self._tools.scope.text(step.url)
            await self._tools.until(
                lambda: is_at(self._tools.tabs.page.url, wanted), deadline, "the address did not come"
            )
        else:
            await self._tools.tabs.page.wait_for_load_state("networkidle", timeout=left_ms(deadline))

    async def _click(self, step: kinds.Click, deadline: float) -> None:
        element = await self._tools.one(step.target, deadline)
        self._tools.tabs.follow = step.new_tab == "follow"
        before = self._tools.tabs.followed
        navigations = self._tools.tabs.navigations
        leads_to = await element.evaluate(_LEADS_TO, timeout=left_ms(deadline))
        # Waiting for where it leads is ours: a page that comes late must not make the click fail, to be done again.
        if step.type == "double_click":
            await element.dblclick(timeout=left_ms(deadline), no_wait_after=True)
        else:
            await element.click(timeout=left_ms(deadline), no_wait_after=True)
        if leads_to == "tab" and self._tools.tabs.follow:
            await self._tools.tabs.await_followed(before, _TAB_SECONDS)
        await self._tools.tabs.arrive(navigations, deadline, likely=leads_to == "page")
        if self._tools.tabs.followed != before:
            self._tools.finder.frame = None
            await self._tools.tabs.settle()
            self._tools.log("info", "went on in the tab that it opened")

    async def _press(self, step: kinds.Press, deadline: float) -> None:
        key = self._tools.scope.text(step.key)
        key = _KEYS.get(key, key)
        before = self._tools.tabs.navigations
        element = None if step.target is None else await self._tools.one(step.target, deadline)
        likely = False
        if key == "Enter":
            where = self._tools.tabs.page.locator("css=:focus") if element is None else element
            likely = any(await where.evaluate_all(f"elements => elements.map({_SUBMITS})"))
        if element is None:
            await self._tools.tabs.page.keyboard.press(key)
        else:
            await element.press(key, timeout=left_ms(deadline), no_wait_after=True)
        await self._tools.tabs.arrive(before, deadline, likely=likely)

    async def switch_tab(self, step: kinds.SwitchTab, deadline: float) -> None:
        """Go on in the tab of that number, address or title; without any of them in the newest other one."""
        scope, tabs = self._tools.scope, self._tools.tabs
        url = None if step.url is None else scope.text(step.url)
        title = None if step.title is None else scope.text(step.title)
        while not await _switched(tabs, step.index, url, title):
            if now() >= deadline:
                raise StepError("there is no such tab", code="TARGET_NOT_FOUND")
            await asyncio.sleep(0.05)
        self._tools.finder.frame = None
        await tabs.settle()

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
        chosen = next((page for page in reversed(pages) if is_at(page.url, url)), None)
    elif title is not None:
        titles = [await page.title() for page in pages]
        chosen = next((page for page, found in zip(pages, titles, strict=True) if title in found), None)
    else:
        chosen = next((page for page in reversed(pages) if page is not tabs.page), None)
    if chosen is None:
        return False
    await tabs.take(chosen)
    return True


def is_at(url: str, wanted: str) -> bool:
    """Whether the address holds the wanted text, or is it, where `*` stands for anything."""
    return fnmatch.fnmatchcase(url, wanted) if "*" in wanted else wanted in url
