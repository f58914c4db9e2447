"""How far a collection of X is. Pure. Owns: what a checkpoint holds, and when a timeline is over. Must not know pages.

`stop_reason`: limit | end (X says so) | no_cursor | cursor_repeated | empty_pages | complete (one profile).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scraper.problems import Problems
from scraper.x_timeline import Entry, TimelinePage, add_types
from scraper.x_values import Json

EMPTY_PAGES = 3
# Pages overlap only a little; what was met longer ago is stored once all the same, by its key.
REMEMBERED_IDS, REMEMBERED_CURSORS = 2_000, 64


@dataclass(slots=True)
class XState:
    """Counts since the run's first attempt."""

    cursor: str | None = None
    count: int = 0
    pages: int = 0
    empty: int = 0
    gone: int = 0
    left_out: int = 0
    unreadable: int = 0
    unreadable_types: dict[str, int] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems, compare=False)
    stop_reason: str = ""
    ids: dict[str, None] = field(default_factory=dict)
    cursors: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)

    def checkpoint(self) -> dict[str, Json]:
        """As JSON."""
        saved = {name: getattr(self, name) for name in self.__slots__}
        return saved | {"ids": list(self.ids), "problems": self.problems.to_json()}

    def take(self, page: TimelinePage, keeps: Callable[[Entry], bool], limit: int) -> list[Entry]:
        """Count a page; answers the entries that are new results, and settles `stop_reason` and the next cursor."""
        self.pages += 1
        fresh = self.keep(page, keeps, limit)
        self.empty = self.empty + 1 if page.is_empty else 0
        self.stop_reason = self._stop(page, limit)
        if not self.stop_reason:
            self._go_on(page.cursor)
        return fresh

    def keep(self, page: TimelinePage, keeps: Callable[[Entry], bool], limit: int) -> list[Entry]:
        """Count what stands on a page, without going on from there; answers the entries that are new results."""
        self.gone, self.left_out = self.gone + page.gone, self.left_out + page.left_out
        self.unreadable += page.unreadable
        add_types(self.unreadable_types, page.unreadable_types)
        self.problems.merge(page.problems.to_json())
        fresh = []
        for entry in page.entries:
            identity = entry.data["id"]
            if self.count >= limit:
                break
            if identity not in self.ids and keeps(entry):
                self.ids[identity] = None
                self.count += 1
                fresh.append(entry)
        while len(self.ids) > REMEMBERED_IDS:
            del self.ids[next(iter(self.ids))]
        return fresh

    def _stop(self, page: TimelinePage, limit: int) -> str:
        if self.count >= limit:
            return "limit"
        if page.ended:
            return "end"
        if page.cursor is None:
            return "no_cursor"
        if page.cursor == self.cursor or _digest(page.cursor) in self.cursors:
            return "cursor_repeated"
        return "empty_pages" if self.empty >= EMPTY_PAGES else ""

    def _go_on(self, cursor: str | None) -> None:
        self.cursor = cursor
        if cursor is not None:
            self.cursors = [*self.cursors, _digest(cursor)][-REMEMBERED_CURSORS:]


def restore(checkpoint: Json) -> XState:
    """The state of an earlier attempt, or a fresh one; a checkpoint that makes no sense is a fresh start."""
    if not isinstance(checkpoint, Mapping) or "ids" not in checkpoint:
        return XState()
    values = {name: checkpoint[name] for name in XState.__slots__ if name in checkpoint}
    problems = Problems.from_json(checkpoint.get("problems", ()))
    return XState(**values | {"ids": dict.fromkeys(checkpoint["ids"]), "problems": problems})


def _digest(cursor: str) -> str:
    return hashlib.blake2b(cursor.encode(), digest_size=8).hexdigest()
