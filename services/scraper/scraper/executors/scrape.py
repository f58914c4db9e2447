"""The `scrape` executor. Owns: what a run needs, put together and taken down. Must not know selectors or pages."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from scraper.executor import InvalidParameters, Json, RunContext
from scraper.fetch import Fetcher
from scraper.page_loader import Browser, PageLoader
from scraper.politeness import Politeness, PolitenessRules
from scraper.rendering import Renderer
from scraper.scrape_definition import ScrapeDefinition, read_definition
from scraper.scrape_plan import Plan
from scraper.scrape_run import ScrapeRun
from scraper.scrape_state import begin, digest_of


class ScrapeExecutor:
    """Scrapes by definition. Without `renderer` pages are only had over HTTP; `proxy_of` knows proxies by their id."""

    name = "scrape"

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        renderer: Renderer | None = None,
        proxy_of: Callable[[str], Awaitable[str]] | None = None,
        max_wait_seconds: float = 120,
        reading_threads: int = 4,
    ) -> None:
        self._fetcher, self._renderer, self._proxy_of = fetcher, renderer, proxy_of
        self._max_wait_seconds = max_wait_seconds
        self._pool = ThreadPoolExecutor(reading_threads, thread_name_prefix="scrape-read")

    async def run(self, context: RunContext) -> Json:
        """Counts, failed pages with reasons, and `stop_reason`."""
        definition = read_definition(context.job.parameters)
        plan = Plan(definition)
        state = begin(
            definition.limits,
            digest_of(definition.model_dump(mode="json")),
            context.job.checkpoint,
            timeout_seconds=context.job.timeout_seconds,
        )
        if state.pages:
            context.log("info", f"Going on after {state.pages} pages and {state.items} items of an earlier attempt")
        async with AsyncExitStack() as stack:
            loader = await self._open_loader(context, definition, state.modes, stack)
            return await ScrapeRun(context=context, plan=plan, loader=loader, state=state).run()

    async def close(self) -> None:
        """Let go of the threads; the fetcher is the composition root's."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _open_loader(
        self, context: RunContext, definition: ScrapeDefinition, modes: dict[str, str], stack: AsyncExitStack
    ) -> PageLoader:
        proxy = await self._find_proxy(definition.proxy_id)
        session = await stack.enter_async_context(self._fetcher.session(user_agent=definition.user_agent, proxy=proxy))
        rules = PolitenessRules(
            robots=definition.robots,
            concurrency=definition.politeness.concurrency,
            delay_seconds=definition.politeness.delay_seconds,
            max_wait_seconds=self._max_wait_seconds,
        )
        user_agent = definition.user_agent or self._fetcher.user_agent
        politeness = Politeness(rules, session, user_agent=user_agent)
        stack.push_async_callback(politeness.close)
        browser = None
        if self._renderer is not None and definition.render != "http":
            options = {"user_agent": user_agent, "headers": dict(definition.headers), "proxy": proxy}
            browser = Browser(self._renderer, context, options)
            stack.push_async_callback(browser.close)
        return PageLoader(
            context=context,
            definition=definition,
            session=session,
            guard=self._fetcher.guard,
            politeness=politeness,
            browser=browser,
            pool=self._pool,
            modes=modes,
        )

    async def _find_proxy(self, proxy_id: str | None) -> str | None:
        if proxy_id is None:
            return None
        if self._proxy_of is None:
            raise InvalidParameters("this worker knows no proxies", field="proxy_id")
        return await self._proxy_of(proxy_id)
