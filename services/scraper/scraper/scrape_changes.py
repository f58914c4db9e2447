"""What has changed since a task's earlier runs. Owns: the comparison of items by key. Must not know pages or the store.

A run that stopped early has seen only a part: what it saw counts, and nothing is called gone. What a run has already
compared is remembered with the state before it, so that a retry of the same run comes to the same answers.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from scraper.executor import Item, Json

GONE_BATCH = 100


@dataclass(frozen=True, slots=True)
class KnownItem:
    """An item as `run_id` saw it, and as it was before that run (None: unknown then). `gone_run`: who missed it."""

    data: Json
    before: Json
    run_id: int
    gone_run: int = 0


class KnownItems(Protocol):
    """Where they are kept. All wait while the store is away."""

    async def find(self, task_id: int, keys: Sequence[str]) -> dict[str, KnownItem]:
        """Those of these keys that are known."""

    async def keep(self, task_id: int, items: Mapping[str, KnownItem]) -> None:
        """Write them by key."""

    def unseen(self, task_id: int, run_id: int) -> AsyncIterator[dict[str, KnownItem]]:
        """Those that no run since has seen, page by page."""


@dataclass(slots=True)
class Changes:
    """One run's comparison with those before it."""

    store: KnownItems
    task_id: int
    run_id: int
    counts: dict[str, int] = field(default_factory=lambda: {"new": 0, "changed": 0, "unchanged": 0})

    async def mark(self, items: Sequence[Item]) -> list[Item]:
        """The items with what is new about them in their metadata: `change`, and `changed_fields` with old values."""
        keys = [item.key for item in items if item.key is not None]
        known = await self.store.find(self.task_id, keys)
        marked: list[Item] = []
        kept: dict[str, KnownItem] = {}
        for item in items:
            assert item.key is not None
            before = self._before(known.get(item.key))
            # A detail page that failed says nothing about its fields.
            data = dict(item.data)
            if before is not None and "detail_failed" in item.metadata:
                data = {name: before.get(name) if value is None else value for name, value in data.items()}
            kept[item.key] = KnownItem(data, before, self.run_id)
            marked.append(replace(item, metadata={**item.metadata, **self._compare(before, data)}))
        await self.store.keep(self.task_id, kept)
        return marked

    def _before(self, known: KnownItem | None) -> Json:
        if known is None:
            return None
        if known.run_id == self.run_id:
            return known.before
        return None if known.gone_run not in (0, self.run_id) else known.data

    def _compare(self, before: Json, data: Mapping[str, Json]) -> dict[str, Json]:
        if before is None:
            self.counts["new"] += 1
            return {"change": "new"}
        fields = {
            name: {"before": before.get(name)}
            for name in data.keys() | before.keys()
            if before.get(name) != data.get(name)
        }
        if not fields:
            self.counts["unchanged"] += 1
            return {"change": "unchanged"}
        self.counts["changed"] += 1
        return {"change": "changed", "changed_fields": dict(sorted(fields.items()))}

    async def gone(self, data_type: str) -> AsyncIterator[list[Item]]:
        """Items that earlier runs saw and this one, which saw everything, did not; in their last known state."""
        count = 0
        async for page in self.store.unseen(self.task_id, self.run_id):
            missing = {key: item for key, item in page.items() if item.gone_run in (0, self.run_id)}
            await self.store.keep(
                self.task_id, {key: replace(item, gone_run=self.run_id) for key, item in missing.items()}
            )
            items = [
                Item(item.data, data_type=data_type, key=f"gone:{key}", metadata={"change": "gone"})
                for key, item in missing.items()
            ]
            count += len(items)
            for start in range(0, len(items), GONE_BATCH):
                yield items[start : start + GONE_BATCH]
        self.counts["gone"] = count
