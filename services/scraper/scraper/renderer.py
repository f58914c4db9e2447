"""Pages rendered by the browser, for executors that read HTML. Owns: loading, settling, scrolling, steps before it.

One context for a session, so cookies last through it; the tab is kept from page to page, never from run to run.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Response

from scraper.browser import BrowserPool
from scraper.browser_chromium import browser_crashed, is_driver_end
from scraper.browser_lease import HeldBrowser
from scraper.browser_options import parse_browser_options
from scraper.browser_steps import BrowserSteps
from scraper.egress import allow_none
from scraper.executor import ExecutorError, Json, RunContext
from scraper.page_reading import read_html, scroll_to_end, settle_page
from scraper.rendering import RenderSession
from scraper.step_error import StepError
from scraper.step_templates import Scope, Secrets
from scraper.steps import parse_steps
from scraper.tabs import Tabs
from scraper.targets import GONE
from scraper.ways_out import WaysOut

SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """A `RenderedPage`."""

    url: str
    status: int
    html: str


class BrowserRenderer:
    """A `Renderer` over the pool."""

    def __init__(self, pool: BrowserPool, secrets: Secrets, ways_out: WaysOut | None = None) -> None:
        self._pool, self._secrets = pool, secrets
        self._ways_out = ways_out or WaysOut(None, allow_none)

    @asynccontextmanager
    async def session(self, context: RunContext, options: Mapping[str, Json]) -> AsyncIterator[RenderSession]:
        """A session for one run; `options` are those of `browser_options`, and `proxy`, a proxy's address."""
        async with (
            self._ways_out.through_address(options.get("proxy")) as way_out,
            self._pool.lease(parse_browser_options(options), context.guard, way_out=way_out) as lease,
        ):
            yield _Session(lease, context, self._secrets)


class _Session:
    def __init__(self, lease: HeldBrowser, run: RunContext, secrets: Secrets) -> None:
        self._lease, self._run = lease, run
        self._scope = Scope(secrets)
        self._tabs = Tabs(lease)

    async def load(
        self, url: str, *, wait_for: str | None, scroll: bool, steps: Sequence[Json], timeout_seconds: float
    ) -> Rendered:
        """Load `url`, do what was asked for, and read the page; all of it within `timeout_seconds`."""
        checked = parse_steps(list(steps))
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._tabs.open()
                response = await self._go(url, timeout_seconds)
                await self._prepare(wait_for, scroll=scroll, seconds=timeout_seconds)
                if checked:
                    await BrowserSteps(self._lease, self._run, self._scope, tabs=self._tabs, base_url=url).run(checked)
                    await settle_page(self._tabs.page, SETTLE_SECONDS)
                page = self._tabs.page
                return Rendered(page.url, response.status if response else 0, await read_html(page))
        except TimeoutError as error:
            raise ExecutorError(f"{url} took longer than {timeout_seconds:g} s", code="PAGE_TIMEOUT") from error
        except PlaywrightError as error:
            raise await self._failure(url, error) from error
        except StepError as error:
            raise ExecutorError(f"{url}: {error.message}", code=error.code) from error
        except Exception as error:
            if is_driver_end(error):
                raise browser_crashed() from error
            raise

    async def _go(self, url: str, seconds: float) -> Response | None:
        if not url.startswith(("http://", "https://")):
            raise ExecutorError(f"{url[:200]} is no http or https URL", code="INVALID_URL", retryable=False)
        return await self._tabs.page.goto(url, wait_until="domcontentloaded", timeout=seconds * 1000)

    async def _prepare(self, wait_for: str | None, *, scroll: bool, seconds: float) -> None:
        page = self._tabs.page
        # A part of the time stays for reading the page, which is worth having without the selector.
        deadline = asyncio.get_running_loop().time() + seconds * 0.6
        if wait_for:
            await _wait_for(page, wait_for, seconds * 0.6)
        else:
            await settle_page(page, SETTLE_SECONDS)
        if scroll:
            await scroll_to_end(page, deadline)

    async def _failure(self, url: str, error: PlaywrightError) -> ExecutorError:
        text = str(error)
        if GONE.search(text) and await self._lease.crashed():
            return browser_crashed()
        if failure := self._tabs.navigation_failure(error):
            message, code = failure
            return ExecutorError(f"{url}: {message}", code=code, retryable=code != "ADDRESS_NOT_ALLOWED")
        if "Timeout" in text:
            return ExecutorError(f"{url}: {text.splitlines()[0][:300]}", code="PAGE_TIMEOUT")
        return ExecutorError(f"{url}: {text.splitlines()[0][:300]}", code="NAVIGATION_FAILED")


async def _wait_for(page: Page, selector: str, seconds: float) -> None:
    try:
        await page.wait_for_selector(f"css={selector}", state="attached", timeout=max(seconds * 1000, 1))
    except PlaywrightError as error:
        if "Timeout" not in str(error):
            raise
