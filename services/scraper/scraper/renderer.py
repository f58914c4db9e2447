"""Pages rendered by the browser, for executors that read HTML. Owns: a run's tabs, and what a failure is called.

One context for a session, so cookies last through it; its tabs are kept from page to page, never from run to run.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import Error as PlaywrightError

from scraper.browser import BrowserPool
from scraper.browser_chromium import CLOSE_SECONDS, browser_crashed, first_line, is_driver_end, within
from scraper.browser_lease import HeldBrowser
from scraper.browser_options import parse_browser_options
from scraper.browser_steps import BrowserSteps
from scraper.egress import allow_none
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.page_reading import read_html, scroll_to_end, settle_page
from scraper.rendering import RenderedPage, RenderSession
from scraper.step_error import StepError
from scraper.step_templates import Scope, Secrets
from scraper.steps import parse_steps
from scraper.tab import Loaded, Tab, await_selector
from scraper.tabs import Tabs
from scraper.targets import GONE
from scraper.ways_out import WaysOut

SETTLE_SECONDS = 1.0
MAX_TABS = 16


class BrowserRenderer:
    """A `Renderer` over the pool."""

    def __init__(self, pool: BrowserPool, secrets: Secrets, ways_out: WaysOut | None = None) -> None:
        self._pool, self._secrets = pool, secrets
        self._ways_out = ways_out or WaysOut(None, allow_none)

    @asynccontextmanager
    async def session(self, context: RunContext, options: Mapping[str, Json]) -> AsyncIterator[RenderSession]:
        """A session for one run; `options` are those of `browser_options`, a `proxy` (its address), and `tabs`: pages
        at once.
        """
        tabs = options.get("tabs", 1)
        if not isinstance(tabs, int) or not 1 <= tabs <= MAX_TABS:
            raise InvalidParameters(f"must be from 1 to {MAX_TABS}", field="tabs")
        async with (
            self._ways_out.through_address(options.get("proxy")) as way_out,
            self._pool.lease(parse_browser_options(options), context.guard, way_out=way_out) as lease,
        ):
            yield _Session(lease, context, self._secrets, tabs)


class _Session:
    def __init__(self, lease: HeldBrowser, run: RunContext, secrets: Secrets, tabs: int) -> None:
        self._lease, self._run = lease, run
        self._scope = Scope(secrets)
        self._free = [Tab(lease) for _ in range(tabs)]
        self._turns = asyncio.Semaphore(tabs)
        # Steps may open tabs and change between them: they have one place to work in, one page at a time.
        self._stepping, self._step_turn = Tabs(lease), asyncio.Lock()

    async def load(
        self, url: str, *, wait_for: str | None, scroll: bool, steps: Sequence[Json], timeout_seconds: float
    ) -> RenderedPage:
        """Load `url`, do what was asked for, and read the page; all of it within `timeout_seconds`."""
        if not url.startswith(("http://", "https://")):
            raise ExecutorError(f"{url[:200]} is no http or https URL", code="INVALID_URL", retryable=False)
        if steps:
            return await self._load_by_steps(url, wait_for, scroll=scroll, steps=steps, seconds=timeout_seconds)
        async with self._turns:
            tab = self._free.pop()
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await tab.load(url, wait_for=wait_for, scroll=scroll, seconds=timeout_seconds)
            except (PlaywrightError, TimeoutError) as error:
                # Whatever hangs in it must not reach the next page.
                await within(CLOSE_SECONDS, tab.close())
                failure = tab.failure(error) if isinstance(error, PlaywrightError) else None
                raise await self._failure(url, error, failure, timeout_seconds) from error
            except Exception as error:
                if is_driver_end(error):
                    raise browser_crashed() from error
                raise
            finally:
                self._free.append(tab)

    async def _load_by_steps(
        self, url: str, wait_for: str | None, *, scroll: bool, steps: Sequence[Json], seconds: float
    ) -> Loaded:
        checked = parse_steps(list(steps))
        async with self._step_turn:
            tabs = self._stepping
            try:
                async with asyncio.timeout(seconds):
                    await tabs.open()
                    response = await tabs.page.goto(url, wait_until="domcontentloaded", timeout=seconds * 1000)
                    if wait_for:
                        await await_selector(tabs.page, wait_for, seconds * 0.6)
                    else:
                        await settle_page(tabs.page, SETTLE_SECONDS)
                    if scroll:
                        await scroll_to_end(tabs.page, asyncio.get_running_loop().time() + seconds * 0.6)
                    await BrowserSteps(self._lease, self._run, self._scope, tabs=tabs, base_url=url).run(checked)
                    await settle_page(tabs.page, SETTLE_SECONDS)
                    return Loaded(tabs.page.url, response.status if response else 0, await read_html(tabs.page))
            except (PlaywrightError, TimeoutError) as error:
                failure = tabs.navigation_failure(error) if isinstance(error, PlaywrightError) else None
                raise await self._failure(url, error, failure, seconds) from error
            except StepError as error:
                raise ExecutorError(f"{url}: {error.message}", code=error.code) from error
            except Exception as error:
                if is_driver_end(error):
                    raise browser_crashed() from error
                raise

    async def _failure(
        self, url: str, error: Exception, failure: tuple[str, str] | None, seconds: float
    ) -> ExecutorError:
        text = str(error)
        if isinstance(error, TimeoutError):
            return ExecutorError(f"{url} took longer than {seconds:g} s", code="PAGE_TIMEOUT")
        if GONE.search(text) and await self._lease.crashed():
            return browser_crashed()
        if failure is not None:
            message, code = failure
            return ExecutorError(f"{url}: {message}", code=code, retryable=code != "ADDRESS_NOT_ALLOWED")
        code = "PAGE_TIMEOUT" if "Timeout" in text else "NAVIGATION_FAILED"
        return ExecutorError(f"{url}: {first_line(error)}", code=code)
