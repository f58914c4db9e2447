"""Actions that wait: for elements as they should be, for addresses, the network, and the pages that steps lead to."""

import asyncio
from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from scraper import step_kinds as kinds
from scraper.addresses import shown_url
from scraper.page_tools import PageTools, left_ms, now
from scraper.step_addresses import holds_address, is_address, is_title
from scraper.step_error import StepError, TargetMissingError
from scraper.targets import is_passing

# How many there are, and whether all of them are as they should be.
_LOOK = """(elements, {attributes, properties}) => {
  const fits = (wanted, has) => wanted === has || (wanted instanceof Object && has instanceof Object
    && Object.entries(wanted).every(([name, value]) => fits(value, has[name])));
  const good = element =>
    Object.entries(attributes).every(([name, value]) => element.getAttribute(name) === value)
    && Object.entries(properties).every(([name, value]) => fits(value, element[name]));
  return [elements.length, elements.every(good)];
}"""
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Before:
    """Where a run's tabs were before a step."""

    arrivals: int
    pages: frozenset[Page]


class PageWaits:
    """The waits of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def wait_for(self, step: kinds.WaitFor, deadline: float) -> None:
        """Wait for what the step names."""
        tools = self._tools
        if step.time_ms is not None:
            await asyncio.sleep(step.time_ms / 1000)
        elif step.target is not None and step.about_elements:
            await self._elements(step, tools.filled(step.target), deadline)
        elif step.target is not None:
            await tools.some(step.target, deadline)
        elif step.url is not None:
            wanted = tools.scope.text(step.url)
            await tools.until(lambda: holds_address(tools.page.url, wanted), deadline, "the address did not come")
        else:
            await tools.page.wait_for_load_state("networkidle", timeout=left_ms(deadline))

    async def _elements(self, step: kinds.WaitFor, targets: list[kinds.Target], deadline: float) -> None:
        tools = self._tools
        wanted = {
            "attributes": tools.scope.texts(step.attributes or {}),
            "properties": tools.scope.fill(step.properties or {}),
        }
        while True:
            found, good = 0, True
            try:
                if matching := await tools.finder.matching(targets, visible=step.state != "attached"):
                    found, good = await matching.evaluate_all(_LOOK, wanted)
            except PlaywrightError as error:
                if not is_passing(error):
                    raise
            else:
                if step.fits(found, good=good):
                    return
            if now() >= deadline:
                raise _unmet(step, found, good=good)
            await asyncio.sleep(min(_POLL_SECONDS, max(deadline - now(), 0)))

    # --- pages that a step leads to

    def before(self) -> Before:
        """To be kept before a step that leads to pages."""
        tabs = self._tools.tabs
        return Before(tabs.arrivals, frozenset(tabs.all()))

    async def arrived(self, expected: tuple[kinds.ExpectedPage, ...], before: Before, deadline: float) -> None:
        """Wait for each of the pages. Raises `StepError`: what led there has been done, and must not be done again."""
        tools = self._tools
        for page in expected:
            url = None if page.url is None else tools.scope.text(page.url)
            title = None if page.title is None else tools.scope.text(page.title)
            while not await self._came(url, title, before):
                if now() >= deadline:
                    raise StepError(self._missing(url, title), code="ASSERTION_FAILED", done=True)
                await asyncio.sleep(_POLL_SECONDS)
        await tools.tabs.settle()

    async def _came(self, url: str | None, title: str | None, before: Before) -> bool:
        tabs = self._tools.tabs
        came: list[tuple[Frame, str]] = tabs.arrived_since(before.arrivals)
        came += [(page.main_frame, page.url) for page in tabs.all() if page not in before.pages]
        for frame, address in came:
            if url is not None and not is_address(address, url):
                continue
            if title is None or await _title_is(frame, title):
                return True
        return False

    def _missing(self, url: str | None, title: str | None) -> str:
        wanted = " with the title ".join(
            part for part in ("" if url is None else shown_url(url), "" if title is None else repr(title[:200])) if part
        )
        return f"the step did not lead to the page {wanted}".rstrip() + ", which was expected"


async def _title_is(frame: Frame, wanted: str) -> bool:
    try:
        return is_title(await frame.title(), wanted)
    except PlaywrightError:
        return False  # it is gone, or moves on: asked again


def _unmet(step: kinds.WaitFor, found: int, *, good: bool) -> StepError:
    seen = "there at all" if step.state == "attached" else "visible"
    message = f"{found} matched and {'is' if found == 1 else 'are'} {seen}"
    if step.state == "hidden":
        return StepError(f"{message}: not hidden in time", code="STEP_TIMEOUT")
    if not good:
        message += ", and not all have the attributes and properties"
    message += f"; wanted: {step.operator} {1 if step.count is None else step.count}"
    return StepError(message, code="STEP_TIMEOUT") if found else TargetMissingError(message)
