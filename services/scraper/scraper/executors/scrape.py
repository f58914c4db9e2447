"""The `scrape` executor. Owns: what a run needs, put together and taken down. Must not know selectors or pages."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from scraper.chain_walk import ChainWalk
from scraper.crawl_walk import CrawlWalk
from scraper.executor import InvalidParameters, Json, RunContext
from scraper.fetch import Fetcher
from scraper.host_pace import HostPaces, PolitenessRules, SharedPaces
from scraper.known_pages import KnownPages, PageMemory
from scraper.page_browser import PageBrowser
from scraper.page_loader import PageLoader
from scraper.page_readers import PageReaders, RunReader
from scraper.politeness import Politeness
from scraper.render_choice import RenderChoices
from scraper.rendering import Renderer
from scraper.scrape_changes import Changes, KnownItems
from scraper.scrape_definition import ScrapeDefinition, read_definition
from scraper.scrape_reads import Plan
from scraper.scrape_run import ScrapeRun, Walk
from scraper.scrape_state import ScrapeState, begin, digest_of

MAX_TABS = 4


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs of a task have found."""

    items: KnownItems
    pages: KnownPages


class ScrapeExecutor:
    """Scrapes by definition. Without `renderer` pages are only had over HTTP; `proxy_of` knows proxies by their id."""

    name = "scrape"

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        readers: PageReaders,
        renderer: Renderer | None = None,
        proxy_of: Callable[[str], Awaitable[str]] | None = None,
        known: Known | None = None,
        shared_paces: SharedPaces | None = None,
        max_wait_seconds: float = 120,
    ) -> None:
        """`known`: what earlier runs found. `shared_paces`: what all workers know of the hosts they call."""
        self._fetcher, self._renderer, self._proxy_of, self._known = fetcher, renderer, proxy_of, known
        self._max_wait_seconds = max_wait_seconds
        self._paces = HostPaces(shared_paces)
        self._readers = readers

    async def run(self, context: RunContext) -> Json:
        """Counts, failed pages with reasons, and `stop_reason`."""
        definition = read_definition(context.job.parameters)
        plan = Plan(definition, self._fetcher.user_agent)
        parts = plan.parts()
        reader = RunReader(self._readers, parts, digest_of(parts))
        await reader.check()
        digest = digest_of(definition.model_dump(mode="json"))
        state = begin(
            definition.limits,
            digest,
            context.job.checkpoint,
            timeout_seconds=context.job.timeout_seconds,
            crawl_at_once=definition.politeness.concurrency if definition.crawl is not None else 0,
        )
        if state.pages:
            context.log("info", f"Going on after {state.pages} pages and {state.items} items of an earlier attempt")
        changes = self._open_changes(context, definition)
        async with AsyncExitStack() as stack:
            memory = await self._open_memory(context, definition)
            loader = await self._open_loader(
                context, definition, stack, reader=reader, choices=state.choices, memory=memory
            )
            run = ScrapeRun(context=context, plan=plan, loader=loader, state=state, changes=changes)
            result = await run.run(_walk_of(plan, state))
            if memory is not None:
                await memory.flush()
            return result

    def _open_changes(self, context: RunContext, definition: ScrapeDefinition) -> Changes | None:
        if not definition.changes:
            return None
        if self._known is None:
            raise InvalidParameters("this worker keeps nothing of earlier runs", field="changes")
        return Changes(self._known.items, context.job.task_id, context.job.run_id)

    async def _open_memory(self, context: RunContext, definition: ScrapeDefinition) -> PageMemory | None:
        if not definition.conditional or definition.render == "browser" or self._known is None:
            return None
        # What was read depends on these alone: other limits or starts leave it as it is.
        parts = {"items", "detail", "next", "crawl", "robots", "headers", "user_agent", "charset"}
        if definition.crawl is not None:
            parts.add("start_urls")  # Their sites are those whose links are followed.
        reading = digest_of(definition.model_dump(mode="json", include=parts))
        return await PageMemory.open(self._known.pages, context.job.task_id, reading)

    async def close(self) -> None:
        """Let go of the hosts; fetcher and readers are the composition root's."""
        await self._paces.close()

    async def _open_loader(
        self,
        context: RunContext,
        definition: ScrapeDefinition,
        stack: AsyncExitStack,
        *,
        reader: RunReader,
        choices: RenderChoices,
        memory: PageMemory | None,
    ) -> PageLoader:
        proxy = await self._find_proxy(definition.proxy_id)
        session = await stack.enter_async_context(self._fetcher.session(user_agent=definition.user_agent, proxy=proxy))
        rules = PolitenessRules(
            robots=definition.robots,
            concurrency=definition.politeness.concurrency,
            delay_seconds=definition.politeness.delay_seconds,
            max_wait_seconds=self._max_wait_seconds,
            parks=True,
        )
        user_agent = definition.user_agent or self._fetcher.user_agent
        politeness = Politeness(rules, session, user_agent=user_agent, paces=self._paces)
        stack.push_async_callback(politeness.close)
        browser = None
        if self._renderer is not None and definition.render != "http":
            options = {
                "user_agent": user_agent,
                "headers": dict(definition.headers),
                "proxy": proxy,
                "tabs": 1 if definition.steps else min(MAX_TABS, definition.politeness.concurrency),
            }
            browser = PageBrowser(self._renderer, context, options)
            stack.push_async_callback(browser.close)
        return PageLoader(
            context=context,
            definition=definition,
            session=session,
            guard=self._fetcher.guard,
            politeness=politeness,
            browser=browser,
            reader=reader,
            choices=choices,
            memory=memory,
        )

    async def _find_proxy(self, proxy_id: str | None) -> str | None:
        if proxy_id is None:
            return None
        if self._proxy_of is None:
            raise InvalidParameters("this worker knows no proxies", field="proxy_id")
        return await self._proxy_of(proxy_id)


def _walk_of(plan: Plan, state: ScrapeState) -> Walk:
    crawl = plan.definition.crawl
    if crawl is None or plan.rules is None or state.frontier is None:
        return ChainWalk()
    return CrawlWalk(crawl, plan.rules, state.frontier, plan.definition.depth)
