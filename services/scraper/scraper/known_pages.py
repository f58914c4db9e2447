"""Pages that earlier runs of a task had, to ask for them only if they have changed. Must not know HTTP or selectors.

What is kept is what was read, not the page. It counts only for the definition that it was read by.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from chassis.errors import Unavailable

from scraper.executor import Json

MAX_READ_BYTES = 256 * 1024
BATCH_PAGES = 50


@dataclass(frozen=True, slots=True)
class KnownPage:
    """A page of an earlier run: where it was in the end, what identifies its state, and what was read from it."""

    url: str
    etag: str
    modified: str
    read: Json

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """The request's headers."""
        pairs = (("If-None-Match", self.etag), ("If-Modified-Since", self.modified))
        return tuple((name, value) for name, value in pairs if value)


class Answer(Protocol):
    """What is to be known of an answer."""

    @property
    def url(self) -> str:
        """Where redirects ended."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""


class KnownPages(Protocol):
    """Where they are kept. `reading`: what the definition reads, as a digest. All raise `Unavailable`."""

    async def any(self, task_id: int, reading: str) -> bool:
        """Whether there are any."""

    async def find(self, task_id: int, reading: str, name: str) -> KnownPage | None:
        """The one of that name."""

    async def keep(self, task_id: int, reading: str, pages: Sequence[tuple[str, KnownPage]]) -> None:
        """Keep them by name, in place of those that had their names."""


class PageMemory:
    """One run's way to the known pages. While the store is away, nothing is known and nothing kept."""

    def __init__(self, pages: KnownPages, task_id: int, reading: str, *, any_known: bool) -> None:
        self._pages, self._task_id, self._reading, self._any_known = pages, task_id, reading, any_known
        self._new: list[tuple[str, KnownPage]] = []

    @classmethod
    async def open(cls, pages: KnownPages, task_id: int, reading: str) -> "PageMemory":
        """Look whether there is anything to look for."""
        try:
            any_known = await pages.any(task_id, reading)
        except Unavailable:
            any_known = False
        return cls(pages, task_id, reading, any_known=any_known)

    async def find(self, url: str, kind: str) -> KnownPage | None:
        """What an earlier run had at `url`."""
        if not self._any_known:
            return None
        try:
            return await self._pages.find(self._task_id, self._reading, f"{kind} {url}")
        except Unavailable:
            return None

    async def keep(self, url: str, kind: str, answer: Answer, read: Json) -> None:
        """Keep what was read, if the answer can be asked for by its state."""
        etag, modified = answer.headers.get("ETag", "")[:500], answer.headers.get("Last-Modified", "")[:100]
        if not (etag or modified) or len(orjson.dumps(read, default=str)) > MAX_READ_BYTES:
            return
        self._new.append((f"{kind} {url}", KnownPage(answer.url, etag, modified, read)))
        if len(self._new) >= BATCH_PAGES:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        batch, self._new = self._new, []
        if not batch:
            return
        with contextlib.suppress(Unavailable):
            await self._pages.keep(self._task_id, self._reading, batch)
