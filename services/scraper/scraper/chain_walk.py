"""The way over lists: chains (a start URL and the pages after it), walked side by side. Must not know fields."""

import asyncio

from scraper.addresses import shown_url
from scraper.page_loader import PageFailed
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
        while chain.visit():
            if not run.state.take_page():
                return False
            try:
                page = await run.load(chain.url, run.plan.lists)
            except PageFailed as error:
                run.note_failure(error, first=chain.page == 0)
                return True
            if page is None or not await run.store(chain, page, first=chain.page == 0):
                return False
            run.show_progress()
            if page.read.next_url is None:
                return True
            chain.advance(page.read.next_url)
            await run.save()
        run.context.log("info", f"{shown_url(chain.url)} was seen before: its chain of pages ends here")
        return True
