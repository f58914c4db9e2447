"""An AdsPower profile as a run's browser, over the DevTools protocol. Owns: the attachment, and how it is let go of.

`active` is asked before `start`; what was open before stays open, with its tabs; what was started here is stopped here,
however the run ends. The browser itself is never killed: it is not ours.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from chassis.logs import get_logger
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from scraper.adspower import AdsPowerApi, AdsPowerRules, Place
from scraper.browser_chromium import CRASHED, browser_crashed, first_line, within
from scraper.egress import WhyNot
from scraper.executor import ExecutorError, RunContext
from scraper.playwright_trace import TraceFolder
from scraper.selector_engines import register_selectors

log = get_logger("adspower")
CONNECT_SECONDS = 20.0
CLOSE_SECONDS = 1.0
PROBE_SECONDS = 0.5


class AdsPower:
    """Opens profiles for runs."""

    def __init__(self, rules: AdsPowerRules) -> None:
        self._api = AdsPowerApi(rules)

    def place(self, host: str, profile: str) -> Place:
        """See `AdsPowerApi.place`."""
        return self._api.place(host, profile)

    @asynccontextmanager
    async def open(self, place: Place, run: RunContext) -> AsyncIterator["AttachedBrowser"]:
        """The profile, open and attached to. The caller holds its lease. Raises `ExecutorError`."""
        opened = OpenedProfile(self._api, place)
        # Before anything is asked for: a run that is cancelled while the profile starts must stop it all the same.
        run.guard(opened)
        try:
            address = await opened.open()
            run.log(
                "info",
                "AdsPower profile opened" if opened.started else "AdsPower profile was open",
                profile=place.profile,
            )
            yield await opened.attach(address)
        finally:
            await opened.close()

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()


class AttachedBrowser:
    """What steps get. A `HeldBrowser`."""

    def __init__(self, browser: Browser, context: BrowserContext) -> None:
        self._browser, self._context = browser, context
        # The browser's own setting decides, and its disk is not ours.
        self.downloads = True
        # They would lie where the driver puts them, in nobody's care.
        self.traces: TraceFolder | None = None
        self.crash_reason = CRASHED

    @property
    def context(self) -> BrowserContext:
        """The profile's own."""
        return self._context

    async def new_page(self) -> Page:
        """See `HeldBrowser`."""
        return await self._context.new_page()

    async def crashed(self) -> bool:
        """Whether the browser is gone, or doesn't answer."""
        if not self._browser.is_connected():
            return True
        return not await within(PROBE_SECONDS, self._context.cookies("http://probe.invalid"))

    def why(self, _url: str) -> WhyNot | None:
        """The network is the other machine's: nothing is known of it."""
        return None

    def slow_beyond(self, _most: int) -> contextlib.AbstractContextManager[None]:
        """Nor done to it."""
        return contextlib.nullcontext()


class OpenedProfile:
    """The profile and the connection to it. `Guarded`: the supervisor may end it at any time."""

    def __init__(self, api: AdsPowerApi, place: Place) -> None:
        self._api, self._place = api, place
        self.started = False
        self._driver: Playwright | None = None
        self._driver_pid: int | None = None
        self._browser: Browser | None = None
        self._before: set[Page] = set()
        self._closing: asyncio.Task[None] | None = None
        self._ended = False

    async def open(self) -> str:
        """The DevTools address of the profile, which is started unless it is open."""
        address = await self._api.active(self._place)
        if address is None:
            # Before the call: one that times out may have started it nevertheless.
            self.started = True
            address = await self._api.start(self._place)
        return address

    async def attach(self, address: str) -> AttachedBrowser:
        """Connect. Raises `ExecutorError`."""
        before = {child.pid for child in psutil.Process().children()}
        self._driver = await async_playwright().start()
        await register_selectors(self._driver)
        ours = [child.pid for child in psutil.Process().children() if child.pid not in before]
        self._driver_pid = ours[0] if len(ours) == 1 else None
        try:
            self._browser = await self._driver.chromium.connect_over_cdp(address, timeout=CONNECT_SECONDS * 1000)
        except PlaywrightError as error:
            message = f"the AdsPower profile can't be driven: {first_line(error)}"
            raise ExecutorError(message, code="ADSPOWER_UNREACHABLE") from error
        contexts = self._browser.contexts
        if not contexts:
            raise browser_crashed("the AdsPower profile has no window")
        self._before = set(contexts[0].pages)
        return AttachedBrowser(self._browser, contexts[0])

    async def close(self) -> None:
        """Let go of it; comes back when that is done, or with the cancellation that waits."""
        await asyncio.shield(self._close())

    def terminate(self) -> None:
        """Start letting go."""
        self._close()

    def kill(self) -> int:
        """Cut the connection, so that nothing of the run acts any more."""
        if self._ended:
            return 0
        self._close()
        if self._driver_pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self._driver_pid).kill()
        return 1

    def alive(self) -> bool:
        """Whether the profile may still be open because of the run."""
        return not self._ended

    async def release(self) -> None:
        """Wait for the end of what was begun, whose calls have deadlines of their own."""
        await asyncio.shield(self._close())

    def _close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = asyncio.create_task(self._end(), name="AdsPower close")
        return self._closing

    async def _end(self) -> None:
        try:
            if self._browser is not None and self._browser.is_connected() and not self.started:
                await within(CLOSE_SECONDS, self._close_pages(self._browser))
            if self.started:
                await self._stop()
        finally:
            if self._driver is not None:
                await within(CLOSE_SECONDS * 2, self._driver.stop())
            self._ended = True

    async def _close_pages(self, browser: Browser) -> None:
        for context in browser.contexts:
            for page in context.pages:
                if page not in self._before:
                    await page.close()

    async def _stop(self) -> None:
        try:
            await self._api.stop(self._place)
        except ExecutorError as error:
            log.warning("an AdsPower profile could not be stopped", place=str(self._place), reason=error.message)
