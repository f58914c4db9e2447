"""The way over lists: chains (a start URL and the pages after it), walked side by side. Must not know fields."""

import asyncio

from scraper.addresses import shown_url
from scraper.page_loader import Page, PageFailed
from scraper.scrape_reads import ListRead
from scraper.scrape_run import ScrapeRun
from scraper.scrape_state import Chain

CHAINS_AT_ONCE = 8


class ChainWalk:
    """Walks the chains of one attempt."""

    async def go(self, run: ScrapeRun) -> None:
        """As `Walk.go`."""
        left = len(run.plan.definition.start_urls) - run.state.next_start + len(run.state.resumed)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CHAINS_AT_ONCE, left)):
                group.create_task(self._walk_chains(run))

    async def _walk_chains(self, run: ScrapeRun) -> None:
        while (chain := run.state.next_chain(run.plan.definition.start_urls)) is not None:
            if await self._walk(run, chain):
                del run.state.open[chain.start]
                await run.save()

    async def _walk(self, run: ScrapeRun, chain: Chain) -> bool:
        """Walk one chain; True when it is done, False when a limit stopped it."""
        ahead: asyncio.Task[Page[ListRead] | None] | None = None
        try:
            while chain.visit():
                if ahead is None and not run.state.take_page():
                    return False
                try:
                    page = await (ahead or run.load(chain.url, run.plan.lists))
                except PageFailed as error:
                    run.note_failure(error, first=chain.page == 0)
                    return True
                if page is None:
                    return False
                ahead = _look_ahead(run, chain, page)
                if not await run.store(chain, page, first=chain.page == 0):
                    return False
                run.show_progress()
                if page.read.next_url is None:
                    return True
                chain.advance(page.read.next_url)
                await run.save()
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
        run.context.log("info", f"{shown_url(chain.url)} was seen before: its chain of pages ends here")
        return True


def _look_ahead(run: ScrapeRun, chain: Chain, page: Page[ListRead]) -> "asyncio.Task[Page[ListRead] | None] | None":
    """Load the next list while the details of this one are; not where a limit may come before it."""
    state, url, items = run.state, page.read.next_url, len(page.read.items)
    near = state.items_left() <= items or state.limits.pages - state.pages <= items + 1
    if url is None or near or run.plan.definition.detail is None or chain.was_at(url) or not state.take_page():
        return None
    return asyncio.create_task(run.load(url, run.plan.lists))
