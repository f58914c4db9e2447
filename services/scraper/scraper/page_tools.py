"""What the actions on a page share: finding elements, filling in, pictures, and where log lines belong.

Must not know which types of steps there are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, FrameLocator, Locator, Page
from pydantic import BaseModel, ValidationError

from scraper import step_kinds as kinds
from scraper.browser_chromium import browser_crashed, is_driver_end
from scraper.browser_lease import HeldBrowser
from scraper.executor import ExecutorError, Json, RunContext
from scraper.page_masks import MAX_SOUGHT, repeats_of
from scraper.page_protocol import PageProtocol
from scraper.problems import VALUE_CUT, VALUES_CUT
from scraper.step_error import StepError
from scraper.step_results import StepResults
from scraper.step_templates import Scope
from scraper.step_trace import Trace
from scraper.tabs import Tabs
from scraper.targets import GONE, Finder, Found

T = TypeVar("T")


class PageTools:
    """One run's. `where` and `in_loop` are set by the engine."""

    def __init__(
        self, held: HeldBrowser, run: RunContext, scope: Scope, results: StepResults, trace: Trace, *,
        tabs: Tabs | None = None, base_url: str | None = None,
    ) -> None:  # fmt: skip
        self.held, self.run, self.scope, self.results, self.trace = held, run, scope, results, trace
        self.tabs = tabs or Tabs(held)
        self.tabs.on_trouble = self._trouble
        self.finder = Finder(self.tabs)
        self.protocol = PageProtocol()
        # Modifier keys that steps hold down, and what `Tabs.navigations` was before the last move.
        self.held_keys: set[kinds.Modifier] = set()
        self.before_move = 0
        self.base_url = base_url
        self.in_loop = False
        self.where = ""
        # The HTTP status of the page that was navigated to last.
        self.status: int | None = None
        # Fields that hold secrets: they are blacked out in pictures.
        self.masked: list[Locator] = []
        # Called before a secret reaches the page; set by what records more than pictures.
        self.before_secret: Callable[[], Awaitable[None]] | None = None

    @property
    def page(self) -> Page:
        """The current one."""
        return self.tabs.page

    @property
    def root(self) -> Page | FrameLocator | Frame:
        """The page, or the frame that was switched to."""
        return self.finder.frame or self.tabs.page

    def held_with(self, modifiers: Sequence[kinds.Modifier]) -> list[kinds.Modifier] | None:
        """Those that are held, and these. None: whatever the keyboard itself knows of."""
        return sorted({*modifiers, *self.held_keys}) or None

    def log(self, level: str, message: str, **data: Json) -> None:
        """A line about the step under way."""
        self.run.log(level, f"{self.where}: {message}", **data)

    def left_out(self, what: str, count: int) -> None:
        """Count what an extraction had no room for."""
        kind = VALUE_CUT if what == "texts" else VALUES_CUT
        words = f"{count} texts were cut" if what == "texts" else f"{count} {what} were left out: the page has too many"
        self.run.problem(kind, f"{self.where.split()[0]}.{what}" if self.where else what, words, count=count)

    def _trouble(self, kind: str, text: str, url: str) -> None:
        redactor = self.scope.redactor
        self.trace.trouble(kind, redactor.text(text), redactor.text(url))

    async def picture(self, seconds: float = 5, *, full_page: bool = False) -> bytes:
        """A PNG of the page, secrets blacked out."""
        mask = await self._mask()
        return await self.page.screenshot(full_page=full_page, mask=mask, timeout=seconds * 1000)

    async def snapshot(self, seconds: float) -> bytes:
        """A small JPEG of what can be seen, secrets blacked out."""
        mask = await self._mask()
        return await self.page.screenshot(type="jpeg", quality=60, scale="css", mask=mask, timeout=seconds * 1000)

    async def _mask(self) -> list[Locator]:
        """The fields that secrets were typed into, and whatever of the page repeats one."""
        return [*self.masked, *await repeats_of(self.scope.redactor.sought[:MAX_SOUGHT], self.page)]

    async def unless_secret(self, *used: BaseModel | None) -> None:
        """To be called before these parts of a step are used."""
        if self.before_secret is not None and self.scope.reveals([one.model_dump() for one in used if one]):
            await self.before_secret()

    def filled(self, targets: tuple[kinds.Target, ...]) -> list[kinds.Target]:
        """The targets with their templates filled in."""
        try:
            return [
                kinds.Target.model_validate(self.scope.texts(one.model_dump(exclude_defaults=True))) for one in targets
            ]
        except ValidationError as error:
            raise StepError("a template leaves the target empty", code="INVALID_TARGET", fatal=True) from error

    async def one(self, targets: tuple[kinds.Target, ...] | None, deadline: float, *, hidden: bool = False) -> Locator:
        """The element of the first alternative that matches exactly one; without targets the loop's own."""
        if targets is None:
            if self.finder.within is None:
                raise StepError("needs a target", code="INVALID_PARAMETERS", fatal=True)
            return self.finder.within
        return self._noted(await self.finder.one(self.filled(targets), deadline, hidden=hidden))

    async def some(self, targets: tuple[kinds.Target, ...], deadline: float, *, hidden: bool = False) -> Locator:
        """Every element of the first alternative that matches any."""
        return self._noted(await self.finder.some(self.filled(targets), deadline, hidden=hidden))

    def _noted(self, found: Found) -> Locator:
        selector = self.scope.redactor.text(found.selector)
        self.log("debug", f"found by {found.by}", by=found.by, selector=selector)
        self.trace.matched(found.by, selector)
        return found.locator

    def address_of(self, text: str) -> str:
        """An absolute http(s) URL; a relative one is resolved against BASE_URL or the page."""
        here = self.page.url
        try:
            url = urljoin(self.base_url or (here if here.startswith("http") else ""), text.strip())
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StepError("the address must be an http or https URL", code="INVALID_URL", fatal=True)
        return url

    async def until(self, true: Callable[[], bool], deadline: float, otherwise: str) -> None:
        """Wait for a condition of our own. Raises `StepError` with the words `otherwise`."""
        while not true():
            if now() >= deadline:
                raise StepError(otherwise, code="STEP_TIMEOUT")
            await asyncio.sleep(0.05)

    async def guarded(self, work: Awaitable[T]) -> T:
        """Turn what Playwright raises into a step's failure, and a dead browser into BROWSER_CRASHED."""
        try:
            return await work
        except PlaywrightError as error:
            text = str(error)
            if GONE.search(text) and await self.held.crashed():
                raise browser_crashed(self.held.crash_reason) from error
            raise StepError(in_words(text), code=code_of(text)) from error
        except StepError as failure:
            if failure.code == "PAGE_CLOSED" and await self.held.crashed():
                raise browser_crashed(self.held.crash_reason) from failure
            raise
        except ExecutorError as error:
            raise StepError(error.message, code=error.code, fatal=not error.retryable) from error
        except Exception as error:
            if not is_driver_end(error):
                raise
            raise browser_crashed() from error


def now() -> float:
    """The loop's clock, which deadlines are told by."""
    return asyncio.get_running_loop().time()


def left_ms(deadline: float) -> float:
    """For Playwright, where zero would mean "for ever"."""
    return max((deadline - now()) * 1000, 1)


def in_words(text: str) -> str:
    """The first line of Playwright's message; the call log after it repeats what was typed."""
    first = (text.splitlines() or ["failed"])[0][:500]
    return first.split(": ", 1)[1] if first.startswith(("Locator.", "Page.", "Keyboard.")) and ": " in first else first


def code_of(text: str) -> str:
    """The stable name of what Playwright says."""
    if "Timeout" in text and "exceeded" in text:
        return "STEP_TIMEOUT"
    return "NAVIGATION_FAILED" if "net::ERR_" in text else "STEP_FAILED"
