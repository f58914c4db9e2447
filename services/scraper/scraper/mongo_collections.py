"""What all runs of a task have found, in MongoDB. Owns `collected` and `collection_drops`. Must not know NATS, gRPC or
the search index.

An item's `_id` is made from the task, the item's type and its natural key, so that a thing found twice is one item; an
item without a key is the run's own. `place` (task, run, position of the first find) orders a collection and never
changes, `typed` is the same below the item's type. `stored` (time of the last write, then the `_id`) orders all
changes, for whoever follows them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson.errors
from chassis.clock import now_ms
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import BulkWriteError, DocumentTooLarge

from scraper.executor import ExecutorError, Item

PAGE = 500
DUPLICATE = 11000
# Drops are remembered for so long: an index that was away for longer is built anew.
DROPS_KEPT_MS = 7 * 86_400_000


def task_key(task_id: int) -> str:
    """Fixed width, so that strings sort as numbers."""
    return f"{task_id:012d}"


def type_key(task_id: int, data_type: str) -> str:
    """A task's items of one type. The type comes from outside: only a digest of it goes into a key."""
    return f"{task_key(task_id)}:{hashlib.blake2b(data_type.encode(), digest_size=8).hexdigest()}"


def collected_key(task_id: int, run_id: int, item: Item, position: int) -> str:
    """The item's `_id`: by its natural key within the task, else by its place in the run."""
    if item.key is None:
        return f"{task_key(task_id)}:r{run_id:015d}p{position:012d}"
    digest = hashlib.blake2b(f"{item.data_type}\x00{item.key}".encode(), digest_size=16).hexdigest()
    return f"{task_key(task_id)}:k{digest}"


def public_id(key: str) -> str:
    """How contracts name the item."""
    task, _, rest = key.partition(":")
    return f"result-{int(task)}-{rest}"


def stored_at(time_ms: int, key: str = "") -> str:
    """A place in the order of changes."""
    return f"{time_ms:015d}:{key}"


@dataclass(frozen=True, slots=True)
class Drop:
    """Something was taken out: one item, or all of a task (`item` is empty)."""

    task_id: int
    item: str
    stored: str


class Collections:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._items, self._drops = database["collected"], database["collection_drops"]
        # Owned by `mongo_results`: what runs say they have found goes away with what they found.
        self._named = database["results"]
        # The oldest place of a change that was made here and not yet followed; see `take_changed`.
        self._changed = ""
        self.changes = asyncio.Event()

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("place", "typed", "stored"):
                await self._items.create_index([(name, ASCENDING)])
            for name in ("stored", "open"):
                await self._drops.create_index([(name, ASCENDING)])

    async def add(self, run_id: int, items: Mapping[str, tuple[int, Item]]) -> None:
        """Store items, `(position, item)` by `collected_key`. Raises `ExecutorError` for one that can't be stored."""
        now = now_ms()
        rows = [_document(key, run_id, position, item, now) for key, (position, item) in items.items()]
        try:
            with mongo_errors():
                # Most are new: only what was there before costs more than one write.
                await self._replace(await self._insert(rows))
        except (bson.errors.InvalidDocument, OverflowError, DocumentTooLarge, UnicodeError, BulkWriteError) as error:
            raise ExecutorError(
                f"an item can't be stored: {error}"[:500], code="INVALID_ITEM", retryable=False
            ) from error
        finally:
            self._note(now)

    async def _insert(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write rows that are not there; answers the others."""
        try:
            await self._items.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if any(failure["code"] != DUPLICATE for failure in failures):
                raise
            return [rows[failure["index"]] for failure in failures]
        return []

    async def _replace(self, rows: list[dict[str, Any]]) -> None:
        """Write rows that are there; they keep their place."""
        if not rows:
            return
        wanted = {"_id": {"$in": [row["_id"] for row in rows]}}
        kept = {"place": 1, "created_ms": 1}
        known = {row["_id"]: row for row in await self._items.find(wanted, kept).to_list(None)}
        for row in rows:
            if (first := known.get(row["_id"])) is not None:
                row.update(
                    {"created_ms": first["created_ms"]} | _places(row["task_id"], row["data_type"], first["place"])
                )
        await self._items.bulk_write([ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in rows])

    def _note(self, time_ms: int) -> None:
        self.note_unfollowed(stored_at(time_ms))
        self.changes.set()

    def note_unfollowed(self, place: str) -> None:
        """Changes behind `place` are to be followed, or followed again."""
        self._changed = min(self._changed, place) if self._changed else place

    def take_changed(self) -> str:
        """The place before the oldest change made here since the last call; empty when there was none."""
        changed, self._changed = self._changed, ""
        self.changes.clear()
        return changed

    async def get_many(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of the items that exist."""
        found: dict[str, dict[str, Any]] = {}
        with mongo_errors():
            for first in range(0, len(keys), PAGE):
                some = {"_id": {"$in": list(keys[first : first + PAGE])}}
                found |= {row["_id"]: row for row in await self._items.find(some).to_list(None)}
        return found

    async def find(
        self, task_id: int, *, data_type: str, offset: int, limit: int, behind: str = ""
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a collection in the order of the first finds, and how many there are. `behind`: only what comes
        behind that place of the collection, or of the type.
        """
        name, prefix = ("typed", type_key(task_id, data_type)) if data_type else ("place", task_key(task_id))
        query = _below(name, prefix)
        later = {name: {"$gt": behind, "$lt": f"{prefix};"}} if behind else query
        with mongo_errors():
            cursor = self._items.find(later).sort([(name, ASCENDING)])
            rows = await cursor.skip(offset).limit(limit).to_list(limit)
            groups = await self._items.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return rows, groups[0]["n"] if groups else 0

    async def stream(self, task_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        """A whole collection in order, page by page."""
        after = task_key(task_id) + ":"
        while True:
            query = {"place": {"$gt": after, "$lt": task_key(task_id) + ";"}}
            with mongo_errors():
                rows = await self._items.find(query).sort([("place", ASCENDING)]).limit(PAGE).to_list(PAGE)
            if not rows:
                return
            yield rows
            after = rows[-1]["place"]

    # --- following

    async def changed_after(self, place: str, limit: int) -> list[dict[str, Any]]:
        """Items whose last write lies behind `place`, in order."""
        with mongo_errors():
            cursor = self._items.find({"stored": {"$gt": place}}).sort([("stored", ASCENDING)])
            return await cursor.limit(limit).to_list(limit)

    async def dropped_after(self, place: str, limit: int) -> list[Drop]:
        """Drops behind `place`, in order."""
        with mongo_errors():
            cursor = self._drops.find({"stored": {"$gt": place}}).sort([("stored", ASCENDING)])
            rows = await cursor.limit(limit).to_list(limit)
        return [Drop(row["task_id"], row["item"], row["stored"]) for row in rows]

    # --- dropping

    async def drop_items(self, keys: Sequence[str]) -> None:
        """Take out single items, which a later attempt of their run did not find again."""
        now = now_ms()
        operations = [
            ReplaceOne(
                {"_id": key},
                {
                    "_id": key, "task_id": int(key.partition(":")[0]), "item": key, "stored": stored_at(now, key),
                    "open": 0,
                },
                upsert=True,
            )
            for key in keys
        ]  # fmt: skip
        if operations:
            with mongo_errors():
                await self._drops.bulk_write(operations, ordered=False)
                await self._items.delete_many({"_id": {"$in": list(keys)}})
            self._note(now)

    async def drop_task(self, task_id: int) -> None:
        """Take out a whole collection: nobody finds it any more, and `clear_dropped` deletes it."""
        now, key = now_ms(), task_key(task_id)
        drop = {"_id": key, "task_id": task_id, "item": "", "stored": stored_at(now, key), "open": 1}
        with mongo_errors():
            await self._drops.replace_one({"_id": key}, drop, upsert=True)
        self._note(now)

    async def open_drops(self) -> list[int]:
        """Tasks whose collections are still to be deleted."""
        with mongo_errors():
            return [row["task_id"] for row in await self._drops.find({"open": 1}).limit(100).to_list(100)]

    async def clear_some(self, task_id: int) -> int:
        """Delete a part of a dropped collection; answers how much."""
        with mongo_errors():
            for place, query in (
                (self._items, _below("place", task_key(task_id))),
                (self._named, {"task_id": task_id}),
            ):
                rows = await place.find(query, {"task_id": 1}).limit(PAGE).to_list(PAGE)
                if rows:
                    await place.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
                    return len(rows)
            await self._drops.update_one({"_id": task_key(task_id)}, {"$set": {"open": 0}})
        return 0

    async def any_of(self, task_id: int) -> int:
        """1 when the collection has items, else 0."""
        with mongo_errors():
            return 0 if await self._items.find_one(_below("place", task_key(task_id))) is None else 1

    async def forget_old_drops(self) -> None:
        """Drops that every index has followed."""
        with mongo_errors():
            await self._drops.delete_many({"open": 0, "stored": {"$lt": stored_at(now_ms() - DROPS_KEPT_MS)}})


def _document(key: str, run_id: int, position: int, item: Item, now: int) -> dict[str, Any]:
    task_id = int(key.partition(":")[0])
    place = f"{task_key(task_id)}:{run_id:015d}:{position:012d}"
    return {
        "_id": key, "task_id": task_id, "run_id": run_id, "data_type": item.data_type, "data": dict(item.data),
        "metadata": dict(item.metadata), "created_ms": now, "stored": stored_at(now, key),
        **_places(task_id, item.data_type, place),
    }  # fmt: skip


def _places(task_id: int, data_type: str, place: str) -> dict[str, str]:
    return {"place": place, "typed": f"{type_key(task_id, data_type)}{place[len(task_key(task_id)) :]}"}


def _below(name: str, prefix: str) -> dict[str, Any]:
    """Everything whose `name` begins with the prefix and a colon; the semicolon is the next character."""
    return {name: {"$gte": f"{prefix}:", "$lt": f"{prefix};"}}
