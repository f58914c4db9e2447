"""One scrape run. Owns: its limits, reports and checkpoints, whatever the way over the pages. Must not know HTTP.

A checkpoint never runs ahead of the items, and whatever is done twice after a crash is stored under the same keys. The
ways (`ChainWalk`, `CrawlWalk`) say what to load next.
"""

import asyncio
from time import monotonic
from typing import Protocol

from scraper.addresses import shown_url
from scraper.executor import ExecutorError, Json, Parked, RunContext
from scraper.extract import FieldsRead
from scraper.page_loader import Page, PageFailed, PageLoader
from scraper.reading import Reading, T
from scraper.scrape_changes import Changes
from scraper.scrape_items import ItemStore, Position
from scraper.scrape_reads import ListRead, Plan
from scraper.scrape_state import ScrapeState

CHECKPOINT_SECONDS = 1.0
# Writing a checkpoint may take this share of the time.
CHECKPOINT_SHARE = 0.05
# Further reports of the same kind say nothing new.
MAX_REPORTS = 50
# No later attempt sees these otherwise.
FINAL_CODES = frozenset({"ADDRESS_NOT_ALLOWED", "ROBOTS_DISALLOWED"})
MISSING = frozenset({404, 410})


class Walk(Protocol):
    """A way over the pages."""

    async def go(self, run: "ScrapeRun") -> None:
        """Visit pages until there are none left, or the state says to stop."""


class ScrapeRun:
    """What every way over the pages needs."""

    def __init__(
        self,
        *,
        context: RunContext,
        plan: Plan,
        loader: PageLoader,
        state: ScrapeState,
        changes: Changes | None = None,
    ) -> None:
        self.context, self.plan, self.loader, self.state, self._changes = context, plan, loader, state, changes
        self._items = ItemStore(
            context=context,
            definition=plan.definition,
            state=state,
            load_detail=self._load_detail,
            stored=self._stored,
            changes=changes,
        )
        self._before = (state.rendered, state.unchanged)
        if changes is not None:
            changes.counts.update(state.changes)
        self._saved_at = monotonic()
        self._save_every = CHECKPOINT_SECONDS
        self._saving = asyncio.Lock()
        self._reports = 0
        self._start_errors: list[PageFailed] = []

    async def run(self, walk: Walk) -> Json:
        """The run's result. Raises ExecutorError when not one start URL could be read, Parked when it must wait."""
        state = self.state
        try:
            await walk.go(self)
        except BaseExceptionGroup as errors:
            first = _first_of(errors)
            if isinstance(first, Parked):
                await self.save(at_once=True)
            raise first from None
        if self._start_errors and state.pages_read == 0 and not state.stop_reason:
            raise self._all_failed()
        if self._changes is not None and state.complete:
            await self._report_gone(self._changes)
        await self.save(at_once=True)
        self.show_progress()
        self._report_empty()
        return self._result()

    def _result(self) -> Json:
        result = {**self.state.result(), "rendering": self.loader.rendering()}
        if self._changes is not None:
            result["changes"] = {**self._changes.counts, "complete": self.state.complete}
        return result

    def _report_empty(self) -> None:
        """Say that nothing was found, or which fields no item or not every item has. Raises ExecutorError."""
        state = self.state
        if state.items == 0 and not state.duplicates:
            read = f"none of the {state.pages_read} pages that were read has an item"
            if self.plan.definition.fail_if_empty:
                raise ExecutorError(read, code="EMPTY_RESULT", retryable=False)
            if state.pages_read:
                self.context.log("warn", f"Nothing was found: {read}", tried=self.plan.tried())
        empty = {name: count for name, count in state.empty_fields.items() if count}
        if empty:
            most = sorted(empty.items(), key=lambda one: -one[1])
            named = ", ".join(f"{name} in {count}" for name, count in most[:10])
            self.context.log("warn", f"Fields without a value, of {state.items} items: {named}", empty_fields=empty)
        if state.problems:
            self.context.log("warn", f"{state.problems.count} problems were counted", problems=state.problems.to_json())

    async def _report_gone(self, changes: Changes) -> None:
        async for items in changes.gone(self.plan.definition.data_type):
            await self.context.emit(items)

    def _all_failed(self) -> ExecutorError:
        first, count = self._start_errors[0], len(self._start_errors)
        # What won't change is not tried again: a refusal, a final status, an answer that can't be read.
        final = all(not error.retryable for error in self._start_errors)
        message = "the start URL could not be read" if count == 1 else f"none of the {count} start URLs could be read"
        return ExecutorError(
            f"{message}: {shown_url(first.url)}: {first.message}",
            code=first.code if count == 1 or final else "ALL_PAGES_FAILED",
            # What can't go better is not tried again (a page that isn't there, a robots.txt that forbids it).
            retryable=any(error.retryable for error in self._start_errors),
        )

    async def load(self, url: str, reading: Reading[T]) -> Page[T] | None:
        """The page; None when the time limit came first. Raises PageFailed."""
        try:
            async with asyncio.timeout_at(self._loop_deadline()):
                return await self.loader.load(url, reading)
        except TimeoutError:
            self.state.stop("time_limit")
            return None

    def _loop_deadline(self) -> float:
        return asyncio.get_running_loop().time() + max(0.0, self.state.deadline - monotonic())

    async def _load_detail(self, url: str) -> Page[FieldsRead] | None:
        return await self.load(url, self.plan.details)

    async def store(self, at: Position, page: Page[ListRead], *, first: bool) -> bool:
        """Store the items of a page that was just read; False when a limit came first. `first`: it is a start's."""
        self.state.pages_read += 1
        # A page that an earlier attempt had begun was counted by it.
        if at.item == 0:
            self.state.problems.merge((*page.problems, *page.read.problems), url=page.url)
        self._report_if_nothing(page, first=first)
        return await self._items.store(at, page)

    def note_failure(self, error: PageFailed, *, first: bool) -> None:
        """A page of items could not be had."""
        self.state.fail_page(error.url, error.message, error.status)
        # A crawl loses nothing by a link that leads nowhere.
        if self.state.frontier is None or not (error.status in MISSING or error.code in FINAL_CODES):
            self.state.lists_failed += 1
        if first:
            self._start_errors.append(error)
        if self.state.failed <= MAX_REPORTS:
            self.context.log("warn", f"A page could not be read: {error.message}", url=error.url)

    def _report_if_nothing(self, page: Page[ListRead], *, first: bool) -> None:
        if any(item.found for item in page.read.items) or self._reports >= MAX_REPORTS:
            return
        if self.plan.definition.crawl is not None and not first and page.read.links:
            return  # Most pages of a crawl only lead on.
        self._reports += 1
        matched = len(page.read.items)
        what = "no field of any item matched" if matched else "no item matched"
        self.context.log(
            # The page after the last one is often empty, and that is no trouble.
            "warn" if first else "info",
            f"Nothing found on {shown_url(page.url)}: {what} (tried by {' and '.join(page.modes)})",
            url=page.url,
            title=page.read.title,
            tried=self.plan.tried(),
        )

    def show_progress(self) -> None:
        """Say how far it is."""
        state = self.state
        self.context.progress(state.pages, None, f"{state.pages} pages, {state.items} items")

    async def _stored(self) -> None:
        self.show_progress()
        await self.save()

    async def save(self, *, at_once: bool = False) -> None:
        """Save where the run is, now and then or at once."""
        state = self.state
        # Without a single page read there is nothing to go on from: a retry begins anew.
        if state.pages_read == 0 or self._saving.locked():
            return
        if not at_once and monotonic() - self._saved_at < self._save_every:
            return
        state.rendered, state.unchanged = (
            self._before[0] + self.loader.rendered,
            self._before[1] + self.loader.unchanged,
        )
        if self._changes is not None:
            state.changes = dict(self._changes.counts)
        async with self._saving:
            began = self._saved_at = monotonic()
            await self.context.save_checkpoint(state.to_json())
            # A large crawl has a large checkpoint.
            self._save_every = max(CHECKPOINT_SECONDS, (monotonic() - began) / CHECKPOINT_SHARE)


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
