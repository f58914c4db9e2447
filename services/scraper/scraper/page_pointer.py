"""Actions of a pointer: clicks and taps with any button, at any place of an element, and hovering."""

from playwright.async_api import Locator, Position

from scraper import step_kinds as kinds
from scraper.page_tools import PageTools, left_ms
from scraper.step_error import StepError

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
# Playwright counts positions from inside the border.
_BORDER = """element => {
  const style = getComputedStyle(element);
  return [parseInt(style.borderLeftWidth, 10) || 0, parseInt(style.borderTopWidth, 10) || 0];
}"""
_TAB_SECONDS = 3.0
_USUAL_BUTTONS = ("left", "right", "middle")


class PagePointer:
    """The pointer of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def hover(self, step: kinds.Hover, deadline: float) -> None:
        """Move the pointer there."""
        element = await self._tools.one(step.target, deadline)
        position = await _inside_border(element, step.position, deadline)
        await element.hover(
            position=position, modifiers=self._tools.held_with(step.modifiers), timeout=left_ms(deadline)
        )

    async def click(self, step: kinds.Click, deadline: float) -> None:
        """Click once or twice, and arrive where that leads."""
        tools = self._tools
        before = tools.tabs.navigations
        element = await tools.one(step.target, deadline)
        tools.tabs.follow = step.new_tab == "follow"
        followed, navigations = tools.tabs.followed, tools.tabs.navigations
        leads_to = "" if step.button == "right" else await element.evaluate(_LEADS_TO, timeout=left_ms(deadline))
        if step.device == "mouse" and step.button in _USUAL_BUTTONS:
            await self._click(element, step, deadline)
        else:
            await self._click_by_protocol(element, step, deadline)
        if leads_to == "tab" and tools.tabs.follow:
            await tools.tabs.await_followed(followed, _TAB_SECONDS)
        await tools.tabs.arrive(navigations, deadline, likely=leads_to == "page")
        if tools.tabs.followed != followed:
            tools.finder.frame = None
            await tools.tabs.settle()
            tools.log("info", "went on in the tab that it opened")
        tools.before_move = before

    async def _click(self, element: Locator, step: kinds.Click, deadline: float) -> None:
        act = element.dblclick if step.type == "double_click" else element.click
        assert step.button in ("left", "right", "middle")
        # Waiting for where it leads is ours: a page that comes late must not make the click fail, to be done again.
        await act(
            button=step.button,
            position=await _inside_border(element, step.position, deadline),
            modifiers=self._tools.held_with(step.modifiers),
            delay=step.hold_ms or None,
            timeout=left_ms(deadline),
            no_wait_after=True,
        )

    async def _click_by_protocol(self, element: Locator, step: kinds.Click, deadline: float) -> None:
        """Playwright knows no fourth button, no pen, and no finger on a screen that began without."""
        position = await _inside_border(element, step.position, deadline)
        # Everything but the click itself: it comes into view, stands still, and nothing lies over it.
        await element.click(trial=True, position=position, timeout=left_ms(deadline))
        box = await element.bounding_box(timeout=left_ms(deadline))
        if box is None:
            raise StepError("the element went away before it was clicked")
        at = step.position or kinds.Point(x=box["width"] / 2, y=box["height"] / 2)
        x, y = box["x"] + at.x, box["y"] + at.y
        page, held = self._tools.page, self._tools.held_with(step.modifiers) or ()
        seconds = step.hold_ms / 1000
        if step.device == "touch":
            await self._tools.protocol.tap(page, x, y, modifiers=held, hold_seconds=seconds)
            return
        await self._tools.protocol.click(
            page, x, y, button=step.button, pen=step.device == "pen", modifiers=held, hold_seconds=seconds,
            count=2 if step.type == "double_click" else 1,
        )  # fmt: skip


async def _inside_border(element: Locator, place: kinds.Point | None, deadline: float) -> Position | None:
    if place is None:
        return None
    left, top = await element.evaluate(_BORDER, timeout=left_ms(deadline))
    return {"x": place.x - left, "y": place.y - top}
