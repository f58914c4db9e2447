"""Steps on a browser's page: one action per type, and the evaluation of conditions. Implements `step_surface.Surface`.

An action is one attempt within its deadline; retries, loops and what a failure means are the engine's. Everything waits
in the event loop, so that a cancellation takes effect at once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from playwright.async_api import Locator, Page

from scraper import step_kinds as kinds
from scraper.custom_actions import CustomActions, CustomCall, NoCustomActions
from scraper.executor import ExecutorError, Json
from scraper.page_downloads import PageDownloads
from scraper.page_forms import PageForms
from scraper.page_keys import PageKeys
from scraper.page_moves import PageMoves
from scraper.page_pointer import PagePointer
from scraper.page_screen import PageScreen
from scraper.page_tools import PageTools, now
from scraper.page_values import WHOLE, PageValues
from scraper.page_waits import PageWaits
from scraper.step_addresses import holds_address
from scraper.step_error import StepError, TargetMissingError
from scraper.step_extract import read_values

T = TypeVar("T")


class PageSurface:
    """One run's page."""

    def __init__(self, tools: PageTools, custom: CustomActions | None = None) -> None:
        self.tools = tools
        self._custom = custom or NoCustomActions()
        moves, forms, values = PageMoves(tools), PageForms(tools), PageValues(tools)
        pointer, keys, screen = PagePointer(tools), PageKeys(tools), PageScreen(tools)
        self._waits = PageWaits(tools)
        self._by_type: Mapping[str, Callable[[Any, float], Awaitable[None]]] = {
            "navigate": moves.navigate,
            "scroll": moves.scroll,
            "switch_tab": moves.switch_tab,
            "switch_frame": moves.switch_frame,
            "click": pointer.click,
            "double_click": pointer.click,
            "hover": pointer.hover,
            "press": keys.press,
            "key_down": keys.hold,
            "key_up": keys.hold,
            "wait_for": self._waits.wait_for,
            "set_viewport": screen.set_viewport,
            "emulate_network": screen.emulate_network,
            "close_tab": screen.close_tab,
            "input": forms.input,
            "type_keys": forms.input,
            "select": forms.select,
            "check": forms.check,
            "upload": forms.upload,
            "download": PageDownloads(tools).download,
            "extract": values.extract,
            "set_variable": values.set_variable,
            "output": values.output,
            "screenshot": values.screenshot,
            "assert": self._assert,
            "custom": self._call,
        }

    @property
    def where(self) -> str:
        """The step under way."""
        return self.tools.where

    @where.setter
    def where(self, where: str) -> None:
        self.tools.where = where

    @property
    def in_loop(self) -> bool:
        """Whether it is in a loop."""
        return self.tools.in_loop

    @in_loop.setter
    def in_loop(self, in_loop: bool) -> None:
        self.tools.in_loop = in_loop

    async def open(self) -> None:
        """Make sure that there is a page."""
        await self.tools.tabs.open()

    async def before(self, step: kinds.Step) -> None:
        """End what may not see the step's secrets."""
        await self.tools.unless_secret(step)

    async def do(self, step: kinds.Step, deadline: float) -> None:
        """Do one step that holds no others, and wait for the pages that it is to lead to, as long again."""
        before = self._waits.before() if step.expect_navigation else None
        await self._by_type[step.type](step, deadline)
        if before is not None:
            await self._waits.arrived(step.expect_navigation, before, now() + step.timeout_ms / 1000)

    async def elements(self, targets: tuple[kinds.Target, ...], deadline: float) -> Sequence[Locator]:
        """The elements of the first alternative that matches any."""
        await self.tools.unless_secret(*targets)
        found = await self.tools.some(targets, deadline)
        return [found.nth(index) for index in range(await found.count())]

    @contextlib.contextmanager
    def within(self, element: Locator) -> Iterator[None]:
        """Meanwhile, targets are looked for in this element first."""
        outer, self.tools.finder.within = self.tools.finder.within, element
        try:
            yield
        finally:
            self.tools.finder.within = outer

    def address(self) -> str:
        """Where the page is."""
        return self.tools.page.url

    async def picture(self, seconds: float) -> bytes:
        """A PNG."""
        return await self.tools.picture(seconds)

    async def guarded(self, work: Awaitable[T]) -> T:
        """See `PageTools.guarded`."""
        return await self.tools.guarded(work)

    async def reading(self, read: Callable[[Page], Awaitable[T]], seconds: float) -> T:
        """What `read` makes of the current page. Raises `ExecutorError`."""
        try:
            async with asyncio.timeout(seconds):
                return await self.guarded(read(self.tools.page))
        except TimeoutError as error:
            raise ExecutorError("the page could not be read in time", code="PAGE_TIMEOUT") from error
        except StepError as failure:
            raise ExecutorError(failure.message, code=failure.code, retryable=not failure.fatal) from failure

    async def holds(self, when: kinds.Condition) -> bool:
        """Whether the condition is true now."""
        await self.tools.unless_secret(when)
        # While a document is still on its way, nothing is in it, and "not there" would seem true.
        await self.tools.tabs.settle()
        return await self._holds(when) != when.negate

    async def _holds(self, when: kinds.Condition) -> bool:
        tools = self.tools
        if when.url is not None and not holds_address(tools.page.url, tools.scope.text(when.url)):
            return False
        if when.equals is not None and tools.scope.text(when.equals[0]) != tools.scope.text(when.equals[1]):
            return False
        if when.target is not None:
            try:
                found = await tools.finder.some(tools.filled(when.target), now())
            except TargetMissingError:
                return not when.visible
            if not when.visible:
                return False
            return when.text is None or await self._contains(found.locator, when.text)
        return when.text is None or await self._contains(tools.root.locator("css=body"), when.text)

    async def _contains(self, elements: Locator, text: str) -> bool:
        wanted = self.tools.scope.text(text)
        return any(wanted in str(value) for value in await read_values(elements, WHOLE, "", self.tools.left_out))

    async def _assert(self, step: kinds.Assert, deadline: float) -> None:
        while not await self.holds(step.when):
            if now() >= deadline:
                message = self.tools.scope.text(step.message or "the condition is not true")
                raise StepError(message, code="ASSERTION_FAILED")
            await asyncio.sleep(0.1)

    async def _call(self, step: kinds.Custom, _deadline: float) -> None:
        tools = self.tools
        value = tools.scope.fill(step.value)
        call = CustomCall(
            name=step.name, value=value, row=tools.scope.row, variables=tools.scope.variables, page=tools.page,
            log=tools.log, emit=tools.run.emit, job=tools.run.job,
        )  # fmt: skip
        result: Json = await self._custom.call(call)
        if result is not None:
            tools.results.store(step.name, result)
