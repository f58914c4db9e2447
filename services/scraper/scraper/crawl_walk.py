"""The way over a site: from links and sitemaps to pages. Owns: what becomes of a visited page. Must not know fields.

Pages are visited in the order in which they were found, hosts taking turns, as many at once as politeness lets.
"""

import asyncio
from collections import deque
from datetime import date
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from urllib.parse import urlsplit

from scraper.addresses import shown_url
from scraper.crawl_links import MAX_URL, LinkRules
from scraper.exchanges import Fetched
from scraper.frontier import Frontier, Spot, Standing
from scraper.page_loader import Page, PageFailed
from scraper.problems import FILE_UNREADABLE, LINKS_LEFT_OUT
from scraper.scrape_definition import Crawl
from scraper.scrape_reads import ListRead
from scraper.scrape_run import ScrapeRun
from scraper.sitemaps import MAX_BYTES, Sitemap, read_sitemap
from scraper.urls import to_url

# Pages at once, whatever the number of hosts.
AT_ONCE = 64
MAX_SITEMAPS = 1000


class End(Enum):
    """How a visit ended."""

    DONE = auto()
    FAILED = auto()
    DEFERRED = auto()
    GIVEN_BACK = auto()


class CrawlWalk:
    """Walks the frontier of one attempt."""

    def __init__(self, crawl: Crawl, rules: LinkRules, frontier: Frontier, depth: int) -> None:
        self._crawl, self._rules, self._frontier, self._depth = crawl, rules, frontier, depth
        self._freed = asyncio.Event()

    async def go(self, run: ScrapeRun) -> None:
        """As `Walk.go`."""
        for url in run.plan.definition.start_urls:
            self._frontier.offer(self._rules.asked_for(to_url(url, url) or url), 0)
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
        end = End.GIVEN_BACK
        another = ""
        try:
            end, another = await self._visited(run, spot)
        except PageFailed as error:
            end = End.FAILED
            run.note_failure(error, first=spot.depth == 0)
        finally:
            if end is End.GIVEN_BACK:
                self._frontier.give_back(spot)
            elif end is End.DEFERRED:
                self._frontier.defer(spot, another)
            else:
                run.state.same_pages += self._frontier.done(spot, failed=end is End.FAILED)
            self._freed.set()
        run.show_progress()
        await run.save()

    async def _visited(self, run: ScrapeRun, spot: Spot) -> tuple[End, str]:
        """How the visit ended, and for a deferred page the one that it says it is."""
        page = await run.load(spot.url, run.plan.lists)
        if page is None:
            return End.GIVEN_BACK, ""
        standing, another = self._standing(run, spot, page)
        if standing is not Standing.OWN:
            run.state.pages_read += 1
            if standing is Standing.SAME:
                run.state.same_pages += 1
        elif not await run.store(spot, page, first=spot.depth == 0):
            return End.GIVEN_BACK, ""
        if spot.depth < self._depth and not page.nofollow:
            for url in page.read.links:
                self._frontier.offer(url, spot.depth + 1)
        return (End.DEFERRED if standing is Standing.LATER else End.DONE), another

    def _standing(self, run: ScrapeRun, spot: Spot, page: Page[ListRead]) -> tuple[Standing, str]:
        """Whether the page is one that is visited under another address, by redirect or by its canonical one; which."""
        standing = self._frontier.stand(spot, page.url)
        if standing is not Standing.OWN:
            return standing, page.url
        canonical = page.read.canonical
        if not self._crawl.canonical or canonical is None:
            return Standing.OWN, ""
        canonical = self._rules.asked_for(canonical)
        if not self._rules.takes(canonical):
            return Standing.OWN, ""
        standing = self._frontier.stand(spot, canonical)
        if standing is not Standing.OWN and not run.state.same_pages:
            run.context.log(
                "info", f"{shown_url(page.url)} says that it is {shown_url(canonical)}, which is visited by itself"
            )
        return standing, canonical

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
            sitemap = await asyncio.to_thread(
                read_sitemap, answer.body, answer.url, answer.headers.get("Content-Type", "")
            )
            self._note_faults(run, answer, sitemap, guessed=guessed)
            waiting.extend((one, False) for one in sitemap.sitemaps)
            count += self._offer_all(run, answer.url, sitemap.pages)
            if self._frontier.count >= run.state.limits.pages - run.state.pages:
                break  # More than these can't be visited.
        if waiting and len(seen) >= MAX_SITEMAPS:
            message = f"more than {MAX_SITEMAPS} sitemaps: the others were not read"
            run.state.problems.note(FILE_UNREADABLE, "crawl.sitemap", message, url=waiting[0][0], count=len(waiting))
        run.context.log("info", f"{len(seen)} sitemaps named {count} pages of this crawl")
        self._frontier.sitemaps_read = True
        self._freed.set()

    async def _first_sitemaps(self, run: ScrapeRun) -> list[tuple[str, bool]]:
        """(address, whether it is only a guess)"""
        if isinstance(self._crawl.sitemap, list):
            return [(url, False) for url in self._crawl.sitemap]
        found: list[tuple[str, bool]] = []
        roots = dict.fromkeys(to_url("/", url) or url for url in run.plan.definition.start_urls)
        for root in roots:
            try:
                named = await run.loader.sitemaps_of(root)
            except PageFailed as error:
                run.context.log("warn", f"No sitemap of {urlsplit(root).hostname}: {error.message}")
                continue
            urls = [url for one in named if (url := to_url(one, root)) is not None]
            found += [(url, False) for url in urls] or [(f"{root}sitemap.xml", True)]
        return found

    def _note_lost(self, run: ScrapeRun, error: PageFailed, *, guessed: bool) -> None:
        if guessed and error.status is not None:
            run.context.log("info", f"There is no {shown_url(error.url)}, and robots.txt names no sitemap")
            return
        run.state.problems.note(FILE_UNREADABLE, "crawl.sitemap", error.message, url=error.url)
        run.note_failure(error, first=False)

    def _note_faults(self, run: ScrapeRun, answer: Fetched, sitemap: Sitemap, *, guessed: bool) -> None:
        if guessed and not sitemap.count:
            run.context.log("info", f"{shown_url(answer.url)} is no sitemap, and robots.txt names none")
            return
        faults = list(sitemap.faults)
        if answer.truncated or answer.incomplete:
            faults.append(f"only its first {len(answer.body)} bytes were read")
        for fault in faults:
            run.state.problems.note(FILE_UNREADABLE, "crawl.sitemap", f"a sitemap: {fault}", url=answer.url)
            run.context.log("warn", f"{shown_url(answer.url)}: {fault}")
        if sitemap.left_out:
            message = "entries of a sitemap beyond its bound were left out"
            run.state.problems.note(LINKS_LEFT_OUT, "crawl.sitemap", message, url=answer.url, count=sitemap.left_out)

    def _offer_all(self, run: ScrapeRun, sitemap: str, pages: list[tuple[str, str]]) -> int:
        since = self._crawl.modified_since
        count = 0
        for address, changed in pages:
            url = self._rules.asked_for(address)
            if len(url) > MAX_URL:
                message = f"an address of more than {MAX_URL} characters can't be asked for"
                run.state.problems.note(LINKS_LEFT_OUT, "crawl.sitemap", message, example=url, url=sitemap)
                continue
            if not self._rules.takes(url) or (since and changed and _is_before(changed, since)):
                continue
            self._frontier.offer(url, 0)
            count += 1
        self._freed.set()
        return count


def _is_before(changed: str, since: str) -> bool:
    """Whether a date (ISO 8601, or RFC 822 in RSS) lies before the other; no when it can't be read."""
    try:
        day = date.fromisoformat(changed[:10])
    except ValueError:
        try:
            day = parsedate_to_datetime(changed).date()
        except (TypeError, ValueError, IndexError, OverflowError):
            return False
    return day < date.fromisoformat(since[:10])
