"""Pages rendered by the browser, for executors that read HTML. Owns: a run's tabs, and what a failure is called.

One context for a session, so cookies last through it; its tabs are kept from page to page, never from run to run.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import Error as PlaywrightError

from scraper.addresses import AddressGuard
from scraper.browser import BrowserPool
from scraper.browser_chromium import CLOSE_SECONDS, browser_crashed, first_line, is_driver_end, within
from scraper.browser_lease import HeldBrowser
from scraper.browser_options import parse_browser_options
from scraper.browser_steps import BrowserSteps
from scraper.dialogs import Dialogs
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.page_activity import PageActivity
from scraper.page_trees import look_at
from scraper.problems import Problems
from scraper.rendering import MAX_PAGE_BYTES, PageOptions, RenderedPage, RenderSession
from scraper.step_error import StepError
from scraper.step_kinds import Step
from scraper.step_templates import Scope, Secrets
from scraper.steps import parse_steps
from scraper.tab import READY_SECONDS, Tab, make_ready, told_headers
from scraper.tabs import Tabs
from scraper.targets import GONE
from scraper.ways_out import WaysOut

MAX_TABS = 16


class BrowserRenderer:
    """A `Renderer` over the pool."""

    def __init__(self, pool: BrowserPool, secrets: Secrets, ways_out: WaysOut | None = None) -> None:
        self._pool, self._secrets = pool, secrets
        self._ways_out = ways_out or WaysOut(None, AddressGuard())

    @asynccontextmanager
    async def session(self, context: RunContext, options: Mapping[str, Json]) -> AsyncIterator[RenderSession]:
        """A session for one run; `options` are those of `browser_options`, a `proxy` (its address), and `tabs`: pages
        at once.
        """
        tabs = options.get("tabs", 1)
        if not isinstance(tabs, int) or not 1 <= tabs <= MAX_TABS:
            raise InvalidParameters(f"must be from 1 to {MAX_TABS}", field="tabs")
        wanted = parse_browser_options(options)
        async with (
            self._ways_out.through_address(options.get("proxy")) as way_out,
            self._pool.lease(wanted, context.guard, way_out=way_out, log=context.log) as lease,
        ):
            scope = Scope(self._secrets)
            Dialogs(wanted.dialogs, scope, context.log).listen(lease.context)
            yield _Session(lease, context, scope, tabs)


class _Session:
    def __init__(self, lease: HeldBrowser, run: RunContext, scope: Scope, tabs: int) -> None:
        self._lease, self._run, self._scope = lease, run, scope
        self._free = [Tab(lease) for _ in range(tabs)]
        self._turns = asyncio.Semaphore(tabs)
        # Steps may open tabs and change between them: they have one place to work in, one page at a time.
        self._stepping, self._step_turn = Tabs(lease), asyncio.Lock()
        self._activity: PageActivity | None = None

    async def load(self, url: str, options: PageOptions) -> RenderedPage:
        """Load `url`, do what was asked for, and read the page; all of it within `options.timeout_seconds`."""
        if not url.startswith(("http://", "https://")):
            raise ExecutorError(f"{url[:200]} is no http or https URL", code="INVALID_URL", retryable=False)
        if options.steps:
            return await self._load_by_steps(url, options)
        async with self._turns:
            tab = self._free.pop()
            try:
                async with asyncio.timeout(options.timeout_seconds):
                    return await tab.load(url, options)
            except (PlaywrightError, TimeoutError) as error:
                # Whatever hangs in it must not reach the next page.
                await within(CLOSE_SECONDS, tab.close())
                failure = tab.failure(error) if isinstance(error, PlaywrightError) else None
                raise await self._failure(url, error, failure, options.timeout_seconds) from error
            except Exception as error:
                if is_driver_end(error):
                    raise browser_crashed() from error
                raise
            finally:
                self._free.append(tab)

    async def _load_by_steps(self, url: str, options: PageOptions) -> RenderedPage:
        checked, seconds = parse_steps(list(options.steps)), options.timeout_seconds
        async with self._step_turn:
            tabs = self._stepping
            try:
                async with asyncio.timeout(seconds):
                    return await self._step_through(url, options, checked)
            except (PlaywrightError, TimeoutError) as error:
                failure = tabs.navigation_failure(error) if isinstance(error, PlaywrightError) else None
                raise await self._failure(url, error, failure, seconds) from error
            except StepError as error:
                raise ExecutorError(f"{url}: {error.message}", code=error.code) from error
            except Exception as error:
                if is_driver_end(error):
                    raise browser_crashed() from error
                raise

    async def _step_through(self, url: str, options: PageOptions, steps: Sequence[Step]) -> RenderedPage:
        if self._activity is None:
            self._activity = PageActivity()
            self._activity.watch(self._lease.context)
        tabs, activity, problems = self._stepping, self._activity, Problems()
        activity.forget()
        deadline = asyncio.get_running_loop().time() + options.timeout_seconds
        await tabs.open()
        response = await tabs.page.goto(url, wait_until="domcontentloaded", timeout=options.timeout_seconds * 1000)
        await make_ready(tabs.page, activity, options, deadline, problems, scripted=True)
        await BrowserSteps(self._lease, self._run, self._scope, tabs=tabs, base_url=url).run(steps)
        await activity.settle(tabs.page, READY_SECONDS)
        seen = await look_at(tabs.page, min(options.max_bytes, MAX_PAGE_BYTES))
        headers = await told_headers(response)
        status = response.status if response else 0
        return RenderedPage(
            seen.url, status, seen.html, cut=seen.cut, charset=seen.charset, problems=problems, headers=headers
        )

    async def _failure(
        self, url: str, error: Exception, failure: tuple[str, str] | None, seconds: float
    ) -> ExecutorError:
        text = str(error)
        if isinstance(error, TimeoutError):
            return ExecutorError(f"{url} took longer than {seconds:g} s", code="PAGE_TIMEOUT")
        if GONE.search(text) and await self._lease.crashed():
            return browser_crashed(self._lease.crash_reason)
        if failure is not None:
            message, code = failure
            return ExecutorError(f"{url}: {message}", code=code, retryable=code != "ADDRESS_NOT_ALLOWED")
        code = "PAGE_TIMEOUT" if "Timeout" in text else "NAVIGATION_FAILED"
        return ExecutorError(f"{url}: {first_line(error)}", code=code)
