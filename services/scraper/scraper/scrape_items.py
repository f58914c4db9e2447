"""The items of a list page. Owns: their details, keys and order. Must not know how pages are had.

An item's key is the digest of its `unique_by` values, or else its place: start URL, page, position on the page. Both
are the same in every attempt.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from scraper.executor import Item, Json, RunContext
from scraper.extract import FieldsRead
from scraper.page_loader import Page, PageFailed
from scraper.scrape_changes import Changes
from scraper.scrape_definition import ScrapeDefinition
from scraper.scrape_reads import ListRead
from scraper.scrape_state import ScrapeState, digest_of
from scraper.values import to_url

DETAILS_AHEAD = 8
MOST_AHEAD = 64
BATCH_ITEMS = 100
NOTHING = FieldsRead({}, 0)


class Position(Protocol):
    """Where on which page the run is: `item` items of the page named `place` are stored."""

    item: int

    @property
    def place(self) -> str:
        """The page's name, the same in every attempt."""


@dataclass(frozen=True, slots=True)
class DetailRead:
    """An item's own page, or why there is none."""

    url: str | None = None
    fields: FieldsRead = NOTHING
    failure: str | None = None


class ItemStore:
    """Stores the items of list pages in their order. `load_detail` answers None when the time limit came first."""

    def __init__(
        self,
        *,
        context: RunContext,
        definition: ScrapeDefinition,
        state: ScrapeState,
        load_detail: Callable[[str], Awaitable[Page[FieldsRead] | None]],
        stored: Callable[[], Awaitable[None]],
        changes: Changes | None = None,
    ) -> None:
        self._context, self._definition, self._state = context, definition, state
        self._load_detail, self._stored, self._changes = load_detail, stored, changes
        self._ahead = min(MOST_AHEAD, max(DETAILS_AHEAD, 2 * definition.politeness.concurrency))

    async def store(self, at: Position, page: Page[ListRead]) -> bool:
        """Store the page's items from where `at` is; False when a limit came first.

        Details are loaded a few ahead, and what is complete is stored before anything is waited for.
        """
        entries = page.read.items
        ahead: deque[asyncio.Task[DetailRead | None]] = deque()
        batch: list[Item] = []
        position = at.item
        try:
            while position < len(entries):
                self._load_ahead(entries, position, page, ahead)
                if not ahead:
                    break
                if not ahead[0].done():
                    await self._emit(at, batch, position)
                detail = await ahead[0]
                ahead.popleft()
                item = self._item_of(at, position, page, detail) if detail is not None else None
                if detail is None or (item is not None and not self._state.take_item()):
                    break
                if item is not None:
                    batch.append(item)
                position += 1
                if len(batch) >= BATCH_ITEMS:
                    await self._emit(at, batch, position)
            await self._emit(at, batch, position)
            return position >= len(entries)
        finally:
            await _cancel(ahead)

    def _load_ahead(
        self,
        entries: list[FieldsRead],
        position: int,
        page: Page[ListRead],
        ahead: deque[asyncio.Task[DetailRead | None]],
    ) -> None:
        room = min(self._ahead, self._state.items_left())
        if room == 0 and not ahead:
            self._state.stop("item_limit")
        while len(ahead) < room and position + len(ahead) < len(entries):
            url = self._detail_url(entries[position + len(ahead)], page)
            if url is not None and not self._state.take_page():
                return
            ahead.append(asyncio.create_task(self._read_detail(url)))

    def _detail_url(self, listed: FieldsRead, page: Page[ListRead]) -> str | None:
        detail = self._definition.detail
        if detail is None or self._definition.depth < 1 or listed.found == 0:
            return None
        value = listed.data.get(detail.follow)
        return to_url(value, page.url) if isinstance(value, str) else None

    async def _read_detail(self, url: str | None) -> DetailRead | None:
        if url is None:
            return DetailRead()
        try:
            page = await self._load_detail(url)
        except PageFailed as error:
            self._state.fail_page(url, error.message, error.status)
            self._context.log("warn", f"A detail page could not be read: {error.message}", url=url)
            return DetailRead(url, failure=error.message)
        if page is None:
            return None
        self._state.pages_read += 1
        self._state.problems.merge((*page.problems, *page.read.problems), url=page.url)
        return DetailRead(page.url, page.read)

    def _item_of(self, at: Position, position: int, page: Page[ListRead], detail: DetailRead) -> Item | None:
        listed = page.read.items[position]
        data = dict(listed.data)
        for name, value in detail.fields.data.items():
            # What only the list has isn't overwritten by a detail page that lacks it.
            if value is not None or name not in data:
                data[name] = value
        missing = [name for name in (*listed.missing, *detail.fields.missing) if data.get(name) is None]
        if detail.failure is not None and self._definition.detail is not None:
            for name, rule in self._definition.detail.fields.items():
                data.setdefault(name, rule.default)
                if rule.required and data[name] is None:
                    missing.append(name)
        if missing or listed.found + detail.fields.found == 0:
            self._leave_out(f"required fields are missing: {', '.join(missing)}" if missing else "it is empty", page)
            return None
        key = self._key_of(data, at, position)
        if key is None:
            self._leave_out(f"all of unique_by is missing: {', '.join(self._definition.unique_by)}", page)
            return None
        if self._definition.unique_by and not self._state.is_new(key):
            self._state.duplicates += 1
            return None
        metadata: dict[str, Json] = {"url": detail.url or page.url}
        if detail.failure is not None:
            metadata["detail_failed"] = detail.failure
        return Item(data, data_type=self._definition.data_type, key=key, metadata=metadata)

    def _leave_out(self, reason: str, page: Page[ListRead]) -> None:
        self._state.incomplete += 1
        # The first ones tell what is wrong; the result has the count.
        if self._state.incomplete <= 20:
            self._context.log("warn", f"An item was left out: {reason}", url=page.url)

    def _key_of(self, data: dict[str, Json], at: Position, position: int) -> str | None:
        if not self._definition.unique_by:
            return f"{at.place}.{position}"
        values = [data.get(name) for name in self._definition.unique_by]
        return None if all(value is None or value == [] for value in values) else digest_of(values)

    async def _emit(self, at: Position, batch: list[Item], position: int) -> None:
        if batch:
            marked = await self._changes.mark(batch) if self._changes is not None else tuple(batch)
            await self._context.emit(marked)
            if self._definition.unique_by:
                self._state.note_stored(item.key for item in marked if item.key is not None)
            self._state.items += len(batch)
            self._count_empty(batch)
            batch.clear()
        at.item = position
        await self._stored()

    def _count_empty(self, batch: list[Item]) -> None:
        counts = self._state.empty_fields
        for item in batch:
            for name, value in item.data.items():
                if value is None or value == []:
                    counts[name] = counts.get(name, 0) + 1


async def _cancel(tasks: deque[asyncio.Task[DetailRead | None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
