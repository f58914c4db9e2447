"""One scrape run. Owns: the walk over the pages, and when it is saved. Must not know HTTP or browsers.

Chains (a start URL and the pages after it) are walked side by side. A checkpoint never runs ahead of the items, and
whatever is done twice after a crash is stored under the same keys.
"""

import asyncio
from time import monotonic

from scraper.addresses import shown_url
from scraper.executor import ExecutorError, Json, RunContext
from scraper.extract import FieldsRead
from scraper.page_loader import Page, PageFailed, PageLoader, Reading, T
from scraper.scrape_items import ItemStore
from scraper.scrape_plan import ListRead, Plan
from scraper.scrape_state import Chain, ScrapeState

CHAINS_AT_ONCE = 8
CHECKPOINT_SECONDS = 1.0
# Further reports of the same kind say nothing new.
MAX_REPORTS = 50
# No later attempt sees these otherwise.
FINAL_CODES = frozenset({"ADDRESS_NOT_ALLOWED", "ROBOTS_DISALLOWED"})


class ScrapeRun:
    """Walks the chains of one attempt."""

    def __init__(self, *, context: RunContext, plan: Plan, loader: PageLoader, state: ScrapeState) -> None:
        self._context, self._plan, self._loader, self._state = context, plan, loader, state
        self._start_urls = plan.definition.start_urls
        self._items = ItemStore(
            context=context,
            definition=plan.definition,
            state=state,
            load_detail=self._load_detail,
            stored=self._stored,
        )
        self._rendered_before = state.rendered
        self._saved_at = monotonic()
        self._saving = asyncio.Lock()
        self._reports = 0
        self._start_errors: list[PageFailed] = []

    async def run(self) -> Json:
        """The run's result. Raises ExecutorError when not one start URL could be read."""
        state = self._state
        left = len(self._start_urls) - state.next_start + len(state.resumed)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CHAINS_AT_ONCE, left)):
                    group.create_task(self._walk_chains())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._start_errors and state.pages_read == 0 and not state.stop_reason:
            raise self._all_failed()
        await self._save(at_once=True)
        self._show_progress()
        return state.result()

    def _all_failed(self) -> ExecutorError:
        first, count = self._start_errors[0], len(self._start_errors)
        final = all(error.code in FINAL_CODES for error in self._start_errors)
        message = "the start URL could not be read" if count == 1 else f"none of the {count} start URLs could be read"
        return ExecutorError(
            f"{message}: {shown_url(first.url)}: {first.message}",
            code=first.code if count == 1 or final else "ALL_PAGES_FAILED",
            retryable=not final,
        )

    async def _walk_chains(self) -> None:
        while (chain := self._state.next_chain(self._start_urls)) is not None:
            if await self._walk(chain):
                del self._state.open[chain.start]
                await self._save()

    async def _walk(self, chain: Chain) -> bool:
        """Walk one chain; True when it is done, False when a limit stopped it."""
        while chain.visit():
            if not self._state.take_page():
                return False
            try:
                page = await self._load(chain.url, self._plan.lists)
            except PageFailed as error:
                self._note_failure(chain, error)
                return True
            if page is None:
                return False
            self._state.pages_read += 1
            self._report_if_nothing(chain, page)
            if not await self._items.store(chain, page):
                return False
            self._show_progress()
            if page.read.next_url is None:
                return True
            chain.advance(page.read.next_url)
            await self._save()
        self._context.log("info", f"{shown_url(chain.url)} was seen before: its chain of pages ends here")
        return True

    async def _load(self, url: str, reading: Reading[T]) -> Page[T] | None:
        """The page; None when the time limit came first."""
        try:
            async with asyncio.timeout(max(0.0, self._state.deadline - monotonic())):
                return await self._loader.load(url, reading)
        except TimeoutError:
            self._state.stop("time_limit")
            return None

    async def _load_detail(self, url: str) -> Page[FieldsRead] | None:
        return await self._load(url, self._plan.details)

    def _note_failure(self, chain: Chain, error: PageFailed) -> None:
        self._state.fail_page(error.url, error.message, error.status)
        self._state.lists_failed += 1
        if chain.page == 0:
            self._start_errors.append(error)
        self._context.log("warn", f"A page could not be read: {error.message}", url=error.url)

    def _report_if_nothing(self, chain: Chain, page: Page[ListRead]) -> None:
        if any(item.found for item in page.read.items) or self._reports >= MAX_REPORTS:
            return
        self._reports += 1
        matched = len(page.read.items)
        what = "no field of any item matched" if matched else "no item matched"
        self._context.log(
            # The page after the last one is often empty, and that is no trouble.
            "warn" if chain.page == 0 else "info",
            f"Nothing found on {shown_url(page.url)}: {what} (tried by {' and '.join(page.modes)})",
            url=page.url,
            title=page.read.title,
            tried=self._plan.tried(),
        )

    def _show_progress(self) -> None:
        state = self._state
        self._context.progress(state.pages, None, f"{state.pages} pages, {state.items} items")

    async def _stored(self) -> None:
        self._show_progress()
        await self._save()

    async def _save(self, *, at_once: bool = False) -> None:
        self._state.rendered = self._rendered_before + self._loader.rendered
        # Without a single page read there is nothing to go on from: a retry begins anew.
        if self._state.pages_read == 0 or self._saving.locked():
            return
        if at_once or monotonic() - self._saved_at >= CHECKPOINT_SECONDS:
            async with self._saving:
                self._saved_at = monotonic()
                await self._context.save_checkpoint(self._state.to_json())
