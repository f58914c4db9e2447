"""The way over a site: from links and sitemaps to pages. Owns: what becomes of a visited page. Must not know fields.

Pages are visited in the order in which they were found, hosts taking turns, as many at once as politeness lets.
"""

import asyncio
from collections import deque
from datetime import date
from urllib.parse import urljoin, urlsplit

from scraper.addresses import shown_url
from scraper.crawl_links import LinkRules
from scraper.frontier import Frontier, Spot
from scraper.page_loader import Page, PageFailed
from scraper.scrape_definition import Crawl
from scraper.scrape_reads import ListRead
from scraper.scrape_run import ScrapeRun
from scraper.sitemaps import MAX_BYTES, read_sitemap

# Pages at once, whatever the number of hosts.
AT_ONCE = 64
MAX_SITEMAPS = 1000


class CrawlWalk:
    """Walks the frontier of one attempt."""

    def __init__(self, crawl: Crawl, rules: LinkRules, frontier: Frontier, depth: int) -> None:
        self._crawl, self._rules, self._frontier, self._depth = crawl, rules, frontier, depth
        self._freed = asyncio.Event()

    async def go(self, run: ScrapeRun) -> None:
        """As `Walk.go`."""
        for url in run.plan.definition.start_urls:
            self._frontier.offer(url, 0)
        async with asyncio.TaskGroup() as group:
            if self._crawl.sitemap and not self._frontier.sitemaps_read:
                group.create_task(self._read_sitemaps(run))
            else:
                self._frontier.sitemaps_read = True
            while True:
                self._freed.clear()
                self._start(run, group)
                stopped = bool(run.state.stop_reason)
                if not self._frontier.running and (stopped or self._frontier.sitemaps_read):
                    break
                await self._freed.wait()

    def _start(self, run: ScrapeRun, group: asyncio.TaskGroup) -> None:
        while len(self._frontier.running) < AT_ONCE and not run.state.stop_reason:
            spot = self._frontier.take()
            if spot is None:
                return
            if not run.state.take_page():
                self._frontier.give_back(spot)
                return
            group.create_task(self._visit(run, spot))

    async def _visit(self, run: ScrapeRun, spot: Spot) -> None:
        # Whatever else ends it (a stop, a pause), the page is still to be visited.
        done = False
        try:
            done = await self._visited(run, spot)
        except PageFailed as error:
            done = True
            run.note_failure(error, first=spot.depth == 0)
        finally:
            if done:
                self._frontier.done(spot)
            else:
                self._frontier.give_back(spot)
            self._freed.set()
        run.show_progress()
        await run.save()

    async def _visited(self, run: ScrapeRun, spot: Spot) -> bool:
        """Whether the page is done; False when a limit came first."""
        page = await run.load(spot.url, run.plan.lists)
        if page is None:
            return False
        if self._is_another(run, spot, page):
            run.state.pages_read += 1
            run.state.same_pages += 1
        elif not await run.store(spot, page, first=spot.depth == 0):
            return False
        if spot.depth < self._depth:
            for url in page.read.links:
                self._frontier.offer(url, spot.depth + 1)
        return True

    def _is_another(self, run: ScrapeRun, spot: Spot, page: Page[ListRead]) -> bool:
        """Whether the page is one that is visited under another address: by redirect, or by its canonical one."""
        if not self._frontier.claim(spot, page.url):
            return True
        canonical = page.read.canonical
        if not self._crawl.canonical or canonical is None or not self._rules.takes(canonical):
            return False
        if self._frontier.claim(spot, canonical):
            return False
        if not run.state.same_pages:
            run.context.log(
                "info", f"{shown_url(page.url)} says that it is {shown_url(canonical)}, which is visited by itself"
            )
        return True

    async def _read_sitemaps(self, run: ScrapeRun) -> None:
        waiting = deque(await self._first_sitemaps(run))
        seen: set[str] = set()
        count = 0
        while waiting and len(seen) < MAX_SITEMAPS and not run.state.stop_reason:
            url, guessed = waiting.popleft()
            if url in seen:
                continue
            seen.add(url)
            try:
                answer = await run.loader.fetch_file(url, MAX_BYTES)
            except PageFailed as error:
                self._note_lost(run, error, guessed=guessed)
                continue
            sitemap = await asyncio.to_thread(read_sitemap, answer.body)
            waiting.extend((urljoin(url, one), False) for one in sitemap.sitemaps)
            count += self._offer_all(url, sitemap.pages)
            if self._frontier.count >= run.state.limits.pages - run.state.pages:
                break  # More than these can't be visited.
        run.context.log("info", f"{len(seen)} sitemaps named {count} pages of this crawl")
        self._frontier.sitemaps_read = True
        self._freed.set()

    async def _first_sitemaps(self, run: ScrapeRun) -> list[tuple[str, bool]]:
        """(address, whether it is only a guess)"""
        if isinstance(self._crawl.sitemap, list):
            return [(url, False) for url in self._crawl.sitemap]
        found: list[tuple[str, bool]] = []
        roots = dict.fromkeys(urljoin(url, "/") for url in run.plan.definition.start_urls)
        for root in roots:
            try:
                named = await run.loader.sitemaps_of(root)
            except PageFailed as error:
                run.context.log("warn", f"No sitemap of {urlsplit(root).hostname}: {error.message}")
                continue
            found += [(urljoin(root, url), False) for url in named] or [(urljoin(root, "/sitemap.xml"), True)]
        return found

    def _note_lost(self, run: ScrapeRun, error: PageFailed, *, guessed: bool) -> None:
        if guessed and error.status is not None:
            run.context.log("info", f"There is no {shown_url(error.url)}, and robots.txt names no sitemap")
            return
        run.note_failure(error, first=False)

    def _offer_all(self, sitemap: str, pages: tuple[tuple[str, str], ...]) -> int:
        since = self._crawl.modified_since
        count = 0
        for address, changed in pages:
            url = urljoin(sitemap, address).partition("#")[0]
            if not url.startswith(("http://", "https://")) or not self._rules.takes(url):
                continue
            if since and changed and _is_before(changed, since):
                continue
            self._frontier.offer(url, 0)
            count += 1
        self._freed.set()
        return count


def _is_before(changed: str, since: str) -> bool:
    try:
        return date.fromisoformat(changed[:10]) < date.fromisoformat(since[:10])
    except ValueError:
        return False
